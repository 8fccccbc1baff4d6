//! The plateau schedule: the learning rate is reduced where the validation metric no longer improves.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::Exact;
use crate::validity::{Validity, check, min_lr, not_negative};

/// Multiplies the learning rate by `factor` after more than `patience` epochs without a better `train.early_stopping.metric`.
///
/// # Source
/// PyTorch's `ReduceLROnPlateau` with a relative threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PlateauConfig {
    /// The factor of the learning rate, above 0 and below 1.
    pub factor: f64,
    /// Epochs without improvement before the learning rate is reduced.
    pub patience: u64,
    /// The relative improvement that counts, 0 or more.
    pub threshold: f64,
    /// Epochs after a reduction that are not counted.
    pub cooldown: u64,
    /// The lowest learning rate, 0 or more.
    pub min_lr: f64,
}

impl Default for PlateauConfig {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_lr: 0.0 }
    }
}

/// The state of a plateau schedule, which is part of the checkpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// The best value so far.
    pub best: Option<Exact>,
    /// Counted epochs since the best value.
    pub bad_epochs: u64,
    /// Remaining epochs of the cool-down.
    pub cooldown: u64,
    /// Reductions so far.
    pub reductions: u32,
}

impl ScheduleOptions for PlateauConfig {
    fn validate(&self) -> Validity {
        check(self.factor > 0.0 && self.factor < 1.0, "factor", "a factor above 0 and below 1")
            .and(not_negative("threshold", self.threshold))
            .and(min_lr(self.min_lr))
    }

    fn rates(&self, lr: f64, _: Place) -> Rates {
        Rates::new(lr)
    }
}

impl PlateauConfig {
    /// `lr` after the reductions so far.
    pub(super) fn reduced(&self, lr: f64, plateau: &Plateau) -> f64 {
        (lr * self.factor.powi(plateau.reductions as i32)).max(self.min_lr.min(lr))
    }
}

impl Plateau {
    /// Adds the metric of an epoch.
    pub fn observe(&mut self, config: &PlateauConfig, value: f64, higher_is_better: bool) {
        let better = |best: f64| match higher_is_better {
            true => value > best * (1.0 + config.threshold),
            false => value < best * (1.0 - config.threshold),
        };
        self.bad_epochs += 1;
        if self.best.is_none_or(|Exact(best)| better(best)) {
            (self.best, self.bad_epochs) = (Some(Exact(value)), 0);
        }
        if self.cooldown > 0 {
            self.cooldown -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs > config.patience {
            self.reductions += 1;
            (self.cooldown, self.bad_epochs) = (config.cooldown, 0);
        }
    }
}
