//! The step schedule: the learning rate is multiplied by a factor every few epochs.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check, factor};

/// `lr · gamma^⌊epoch / step_epochs⌋`; epochs are counted from the end of the warm-up.
///
/// # Source
/// PyTorch's `StepLR`, stepped once an epoch; defaults of torchvision's reference training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct StepConfig {
    /// Epochs between two steps, 1 or more.
    pub step_epochs: u64,
    /// The factor of the learning rate at each step, above 0.
    pub gamma: f64,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self { step_epochs: 30, gamma: 0.1 }
    }
}

impl ScheduleOptions for StepConfig {
    fn validate(&self) -> Validity {
        check(self.step_epochs > 0, "step_epochs", "1 or more").and(factor("gamma", self.gamma))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.epoch()))
    }
}

impl StepConfig {
    fn lr(&self, lr: f64, epoch: u64) -> f64 {
        lr * self.gamma.powf((epoch / self.step_epochs.max(1)) as f64)
    }
}
