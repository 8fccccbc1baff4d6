//! Warm-up, stable, decay: a constant learning rate that decays at the end; a run can be prolonged before the decay.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check, min_lr};

/// `lr` for the first part of the run (after the warm-up), then down to `min_lr`.
///
/// # Source
/// Hu et al. 2024 (MiniCPM), Hägele et al. 2024 (1−√ decay); timm's `WSDLRScheduler`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WsdConfig {
    /// The fraction of the steps after the warm-up that decay, above 0 and at most 1.
    pub decay_fraction: f64,
    /// The shape of the decay.
    pub decay: WsdDecay,
    /// The learning rate at the end, 0 or more.
    pub min_lr: f64,
}

/// The shape of the decay of a WSD schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WsdDecay {
    /// `1 − √done`.
    OneMinusSqrt,
    /// In a straight line.
    Linear,
    /// Half a cosine.
    Cosine,
}

impl Default for WsdConfig {
    fn default() -> Self {
        Self { decay_fraction: 0.2, decay: WsdDecay::OneMinusSqrt, min_lr: 0.0 }
    }
}

impl ScheduleOptions for WsdConfig {
    fn validate(&self) -> Validity {
        let fraction = self.decay_fraction;
        check(fraction > 0.0 && fraction <= 1.0, "decay_fraction", "a fraction above 0 and at most 1")
            .and(min_lr(self.min_lr))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.done()))
    }
}

impl WsdConfig {
    fn lr(&self, lr: f64, done: f64) -> f64 {
        let decayed = ((done - (1.0 - self.decay_fraction)) / self.decay_fraction).clamp(0.0, 1.0);
        let left = match self.decay {
            WsdDecay::OneMinusSqrt => 1.0 - decayed.sqrt(),
            WsdDecay::Linear => 1.0 - decayed,
            WsdDecay::Cosine => (1.0 + (PI * decayed).cos()) / 2.0,
        };
        let lr = lr.max(self.min_lr);
        self.min_lr + (lr - self.min_lr) * left
    }
}
