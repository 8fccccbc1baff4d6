//! What to do with samples that cannot be read.

use serde::{Deserialize, Serialize};

/// What to do when a sample's file cannot be read or decoded. An image that the pipeline refuses is always an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// End the epoch with the error.
    #[default]
    Stop,
    /// List the sample in [`Batch::skipped`](crate::Batch::skipped). With `drop_last`, the next readable sample of the
    /// same batch (cyclically) is used twice, with the same pixels. Without, the batch is smaller, so that an
    /// evaluation counts no sample twice. Other batches do not change. A batch without readable samples is an error.
    Skip,
}
