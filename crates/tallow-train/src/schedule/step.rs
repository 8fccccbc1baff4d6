//! The step schedule: the learning rate falls by a factor every few epochs.

use serde::{Deserialize, Serialize};

/// `lr · gamma^⌊epoch / step_epochs⌋`; epochs are counted from the end of the warm-up.
///
/// # Source
/// PyTorch's `StepLR`, stepped once an epoch; defaults of torchvision's reference training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepConfig {
    /// Epochs between two falls, 1 or more.
    pub step_epochs: u64,
    /// What the learning rate is multiplied by at each fall, above 0.
    pub gamma: f64,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self { step_epochs: 30, gamma: 0.1 }
    }
}

impl StepConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        if self.step_epochs == 0 {
            return Some(("step_epochs", "1 or more"));
        }
        (!(self.gamma > 0.0 && self.gamma.is_finite())).then_some(("gamma", "a factor above 0"))
    }

    pub(super) fn lr(&self, lr: f64, epoch: u64) -> f64 {
        lr * self.gamma.powf((epoch / self.step_epochs.max(1)) as f64)
    }
}
