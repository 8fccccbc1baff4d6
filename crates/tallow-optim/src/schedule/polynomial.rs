//! The polynomial schedule: a power of the remaining fraction of the run.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, factor, min_lr};

/// `min_lr + (lr − min_lr) · (1 − done)^power`.
///
/// # Source
/// PyTorch's `PolynomialLR` (with `min_lr` 0), timm's `PolyLRScheduler`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PolynomialConfig {
    /// The power, above 0; 1 is a linear fall.
    pub power: f64,
    /// The learning rate at the end, 0 or more.
    pub min_lr: f64,
}

impl Default for PolynomialConfig {
    fn default() -> Self {
        Self { power: 1.0, min_lr: 0.0 }
    }
}

impl ScheduleOptions for PolynomialConfig {
    fn validate(&self) -> Validity {
        factor("power", self.power).and(min_lr(self.min_lr))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.done()))
    }
}

impl PolynomialConfig {
    fn lr(&self, lr: f64, done: f64) -> f64 {
        self.min_lr + (lr - self.min_lr) * (1.0 - done).powf(self.power)
    }
}
