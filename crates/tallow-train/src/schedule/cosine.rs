//! The cosine schedule: half a cosine wave down, without restarts.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::WARMUP_START_FACTOR;

/// `min_lr + (lr − min_lr) · (1 + cos(π · step / steps)) / 2`.
///
/// # Source
/// Loshchilov & Hutter 2017 (SGDR) without restarts; PyTorch's `CosineAnnealingLR` stepped once a training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CosineConfig {
    /// Epochs of linear warm-up before it; may be a fraction.
    pub warmup_epochs: f64,
    /// The fraction of the learning rate at which the warm-up starts, above 0 and at most 1.
    pub warmup_start_factor: f64,
    /// The learning rate at the end, 0 or more.
    pub min_lr: f64,
}

impl Default for CosineConfig {
    fn default() -> Self {
        Self { warmup_epochs: 0.0, warmup_start_factor: WARMUP_START_FACTOR, min_lr: 0.0 }
    }
}

impl CosineConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        (!(self.min_lr >= 0.0 && self.min_lr.is_finite())).then_some(("min_lr", "a learning rate, 0 or more"))
    }

    pub(super) fn lr(&self, lr: f64, step: u64, steps: u64) -> f64 {
        let done = (step as f64 / steps.max(1) as f64).min(1.0);
        self.min_lr + (lr - self.min_lr) * (1.0 + (PI * done).cos()) / 2.0
    }
}
