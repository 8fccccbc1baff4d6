//! The multi-step schedule: the learning rate falls by a factor at named epochs.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check, factor};

/// `lr · gamma^(milestones passed)`; epochs are counted from the end of the warm-up.
///
/// # Source
/// PyTorch's `MultiStepLR`, stepped once an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiStepConfig {
    /// The epochs before which the learning rate falls.
    pub milestones: Vec<u64>,
    /// What the learning rate is multiplied by at each, above 0.
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
