//! The multi-step schedule: the learning rate falls by a factor at named epochs.

use serde::{Deserialize, Serialize};

use super::factor_invalid;

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

impl MultiStepConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        if self.milestones.is_empty() {
            return Some(("milestones", "one epoch or more, as in [30, 60, 80]"));
        }
        factor_invalid("gamma", self.gamma)
    }

    pub(super) fn lr(&self, lr: f64, epoch: u64) -> f64 {
        lr * self.gamma.powi(self.milestones.iter().filter(|milestone| **milestone <= epoch).count() as i32)
    }
}
