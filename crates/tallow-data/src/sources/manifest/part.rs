//! A manifest file, and how its lines divide into splits.

use std::path::PathBuf;

use crate::sources::paths::Split;

/// A manifest, and how its lines divide into splits.
pub(crate) struct Part {
    pub manifest: PathBuf,
    pub split: SplitRule,
}

/// How the lines of a manifest divide into splits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SplitRule {
    /// By a column; without one, all lines are training samples.
    Column,
    /// By a column; without one, by the first folder of each path.
    ByFolder,
    /// All lines belong to this split.
    Fixed(Split),
}
