//! The loader's configuration.

use serde::{Deserialize, Serialize};
use tallow_augment::batch::MixConfig;

use crate::on_corrupt::OnCorrupt;
use crate::sampler::Sampler;

/// How samples become batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// The number of samples in a batch, at least 1.
    pub batch_size: usize,
    /// Every batch has exactly `batch_size` samples: an incomplete last batch is dropped, and damaged samples are
    /// replaced. For training.
    pub drop_last: bool,
    /// The number of finished batches that wait at most, beside the one in progress and the one in use.
    pub prefetch: usize,
    /// The number of threads that decode and augment, at least 1.
    pub workers: usize,
    /// The seed of the order and of the augmentation.
    pub seed: u64,
    /// The order of the samples.
    pub sampler: Sampler,
    /// What to do when a sample cannot be read.
    pub on_corrupt: OnCorrupt,
    /// Mixup and CutMix. For training.
    pub mix: Option<MixConfig>,
}

impl Default for LoaderConfig {
    /// Shuffled batches of 128, an incomplete last batch included; two batches ahead, one worker, seed 0; a damaged
    /// sample is an error; no mixing.
    fn default() -> Self {
        Self {
            batch_size: 128,
            drop_last: false,
            prefetch: 2,
            workers: 1,
            seed: 0,
            sampler: Sampler::Shuffled,
            on_corrupt: OnCorrupt::Stop,
            mix: None,
        }
    }
}
