//! The exponential schedule: the learning rate is multiplied by a factor in every epoch.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, factor};

/// `lr · gamma^epochs`, at every step; with `per_epoch` at the beginning of each epoch.
///
/// # Source
/// PyTorch's `ExponentialLR(gamma)` stepped once an epoch, or `ExponentialLR(gamma^(1/steps))` once a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExponentialConfig {
    /// The factor of the learning rate per epoch, above 0.
    pub gamma: f64,
}

impl Default for ExponentialConfig {
    fn default() -> Self {
        Self { gamma: 0.95 }
    }
}

impl ScheduleOptions for ExponentialConfig {
    fn validate(&self) -> Validity {
        factor("gamma", self.gamma)
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.epochs()))
    }
}

impl ExponentialConfig {
    fn lr(&self, lr: f64, epochs: f64) -> f64 {
        lr * self.gamma.powf(epochs)
    }
}
