//! The multi-step schedule: the learning rate is multiplied by a factor at each of some epochs.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check, factor};

/// `lr · gamma^(milestones passed)`; epochs are counted from the end of the warm-up.
///
/// # Source
/// PyTorch's `MultiStepLR`, stepped once an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MultiStepConfig {
    /// The epochs at whose beginning the learning rate falls.
    pub milestones: Vec<u64>,
    /// The factor of the learning rate at each milestone, above 0.
    pub gamma: f64,
}

impl Default for MultiStepConfig {
    fn default() -> Self {
        Self { milestones: Vec::new(), gamma: 0.1 }
    }
}

impl ScheduleOptions for MultiStepConfig {
    fn validate(&self) -> Validity {
        check(!self.milestones.is_empty(), "milestones", "one epoch or more, as in [30, 60, 80]")
            .and(factor("gamma", self.gamma))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.epoch()))
    }
}

impl MultiStepConfig {
    fn lr(&self, lr: f64, epoch: u64) -> f64 {
        lr * self.gamma.powi(self.milestones.iter().filter(|milestone| **milestone <= epoch).count() as i32)
    }
}
