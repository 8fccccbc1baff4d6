//! The cosine schedule: half a cosine wave, without restarts.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, min_lr};

/// `min_lr + (lr − min_lr) · (1 + cos(π · step / steps)) / 2`.
///
/// # Source
/// Loshchilov & Hutter 2017 (SGDR) without restarts; PyTorch's `CosineAnnealingLR` stepped once a training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CosineConfig {
    /// The learning rate at the end, 0 or more.
    pub min_lr: f64,
}

impl Default for CosineConfig {
    fn default() -> Self {
        Self { min_lr: 0.0 }
    }
}

impl ScheduleOptions for CosineConfig {
    fn validate(&self) -> Validity {
        min_lr(self.min_lr)
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place.done()))
    }
}

impl CosineConfig {
    fn lr(&self, lr: f64, done: f64) -> f64 {
        self.min_lr + (lr - self.min_lr) * (1.0 + (PI * done).cos()) / 2.0
    }
}
