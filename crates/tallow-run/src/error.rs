//! The errors of this crate.

use std::io;
use std::path::PathBuf;

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of run directories.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The folder of a new run is not empty.
    #[error("{}: this folder is not empty", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder is not a run directory.
    #[error("{}: not a run directory: it has no {missing}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// A file that every run has.
        missing: &'static str,
    },
    /// A folder is the directory of an ensemble where a run is expected.
    #[error("{}: this is an ensemble, expected one run; its members are in {}", path.display(), path.join("members").display())]
    AnEnsemble {
        /// The folder.
        path: PathBuf,
    },
    /// A run has no checkpoint yet.
    #[error("{}: this run has no checkpoint yet: its first epoch has not ended", path.display())]
    NoCheckpoint {
        /// The run directory.
        path: PathBuf,
    },
    /// A file of a run does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// A checkpoint is of another model, class count or optimiser than the run's config describes.
    #[error("{}: this checkpoint does not fit the run: {reason}", path.display())]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The data no longer have the split that the run began with.
    #[error("{}: the data no longer hold the samples that this run began with", path.display())]
    OtherSplit {
        /// The table of the split.
        path: PathBuf,
    },
    /// A value could not be written as TOML, JSON or CSV.
    #[error("cannot write {what}: {reason}")]
    Serialize {
        /// The file or the kind of value.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A name is not one of a list.
    #[error("`{name}` is no view; expected {expected}")]
    UnknownView {
        /// The name.
        name: String,
        /// The names of all views.
        expected: String,
    },
    /// A log failed.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The pipeline that a key of the configuration holds cannot be built.
    #[error("{key}: {source}")]
    Pipeline {
        /// The key.
        key: &'static str,
        /// The cause.
        source: tallow_augment::Error,
    },
    /// The augmentation pipeline failed.
    #[error(transparent)]
    Augment(#[from] tallow_augment::Error),
    /// A parameter could not be set.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, action, source }
    }

    /// For `map_err` on serialisation.
    pub fn serialize<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Error {
        move |error| Error::Serialize { what, reason: error.to_string() }
    }
}
