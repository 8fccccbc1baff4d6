//! Cosine with warm restarts: a sequence of half cosines of equal or growing length.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check, factor, min_lr};

/// The `i`-th cycle goes from `lr · cycle_decay^i` down to `min_lr` in `cycle_epochs · cycle_mul^i` epochs.
///
/// # Source
/// Loshchilov & Hutter 2017 (SGDR); timm's `CosineLRScheduler`, PyTorch's `CosineAnnealingWarmRestarts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CosineRestartsConfig {
    /// Epochs of the first cycle (timm's `t_initial`), 0.001 or more; may be a fraction.
    pub cycle_epochs: f64,
    /// The factor of each cycle's length relative to the one before, 1 or more.
    pub cycle_mul: f64,
    /// The factor of each cycle's highest learning rate relative to the one before, above 0.
    pub cycle_decay: f64,
    /// Cycles after which the learning rate stays at `min_lr`; 0 for no end.
    pub cycle_limit: u64,
    /// The learning rate at the end of each cycle, 0 or more.
    pub min_lr: f64,
}

impl Default for CosineRestartsConfig {
    fn default() -> Self {
        Self { cycle_epochs: 10.0, cycle_mul: 1.0, cycle_decay: 1.0, cycle_limit: 0, min_lr: 0.0 }
    }
}

impl ScheduleOptions for CosineRestartsConfig {
    fn validate(&self) -> Validity {
        // Cycles are counted one by one where they grow: shorter ones would take for ever.
        check(self.cycle_epochs >= 1e-3 && self.cycle_epochs.is_finite(), "cycle_epochs", "0.001 or more")
            .and(check(self.cycle_mul >= 1.0 && self.cycle_mul.is_finite(), "cycle_mul", "1 or more"))
            .and(factor("cycle_decay", self.cycle_decay))
            .and(min_lr(self.min_lr))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.epochs()))
    }
}

impl CosineRestartsConfig {
    fn lr(&self, lr: f64, epochs: f64) -> f64 {
        let (cycle, length, left) = self.cycle(epochs);
        if self.cycle_limit > 0 && cycle >= self.cycle_limit {
            return self.min_lr;
        }
        let highest = lr * self.cycle_decay.powf(cycle as f64);
        self.min_lr + (highest - self.min_lr) * (1.0 + (PI * left / length).cos()) / 2.0
    }

    /// The cycles that are complete after `epochs` epochs.
    pub(super) fn done(&self, epochs: f64) -> u64 {
        let (cycle, _, _) = self.cycle(epochs);
        if self.cycle_limit > 0 { cycle.min(self.cycle_limit) } else { cycle }
    }

    /// The cycle after `epochs` epochs, its length, and its complete epochs.
    fn cycle(&self, epochs: f64) -> (u64, f64, f64) {
        let (mut cycle, mut length, mut left) = (0u64, self.cycle_epochs, epochs);
        if self.cycle_mul == 1.0 {
            cycle = (epochs / length + 1e-9).floor() as u64;
            left = (epochs - cycle as f64 * length).max(0.0);
        } else {
            while left >= length - 1e-9 {
                left = (left - length).max(0.0);
                length *= self.cycle_mul;
                cycle += 1;
            }
        }
        (cycle, length, left)
    }
}
