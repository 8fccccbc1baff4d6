//! The keys of the `[train]` section that inference needs.

use serde::Deserialize;

/// Some keys of the `[train]` section: batch sizes and the seed. Other keys are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EvalConfig {
    /// Samples per batch in evaluation, 1 or more.
    pub eval_batch_size: usize,
    /// Samples per training batch, 1 or more: BatchNorm's statistics are re-estimated over training batches.
    pub batch_size: usize,
    /// Whether training leaves out the incomplete batch at the end of an epoch.
    pub drop_last: bool,
    /// The seed of the run.
    pub seed: u64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { eval_batch_size: 500, batch_size: 128, drop_last: false, seed: 0 }
    }
}
