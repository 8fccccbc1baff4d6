//! Learning-rate schedules: the rates of every optimiser step, as a pure function of the step.
//!
//! A schedule holds no state, so a resumed run needs nothing but its step. To add one: a file with its config and
//! its curve, a variant of [`ScheduleConfig`], a line in each `match` below.

mod cosine;
mod one_cycle;
mod step;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use cosine::CosineConfig;
pub use one_cycle::OneCycleConfig;
pub use step::StepConfig;

/// What an optimiser is told at each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub lr: f64,
    /// SGD's and RMSprop's momentum or Adam's β₁, where the schedule moves it.
    pub momentum: Option<f64>,
}

/// The `schedule` table of a run's config, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// `optim.lr` throughout.
    Constant(ConstantConfig),
    /// `optim.lr · gamma^⌊epoch / step_epochs⌋`.
    Step(StepConfig),
    /// Half a cosine from `optim.lr` down to `min_lr`.
    Cosine(CosineConfig),
    /// Up to `optim.lr` and down to almost nothing.
    OneCycle(OneCycleConfig),
}

/// The constant schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConstantConfig {
    /// Epochs of linear warm-up before it; may be a fraction.
    pub warmup_epochs: f64,
    /// The fraction of the learning rate at which the warm-up starts, above 0 and at most 1.
    pub warmup_start_factor: f64,
}

impl Default for ConstantConfig {
    fn default() -> Self {
        Self { warmup_epochs: 0.0, warmup_start_factor: WARMUP_START_FACTOR }
    }
}

/// torchvision's `--lr-warmup-decay`.
pub(crate) const WARMUP_START_FACTOR: f64 = 0.01;

impl ScheduleConfig {
    fn warmup(&self) -> (f64, f64) {
        match self {
            Self::Constant(c) => (c.warmup_epochs, c.warmup_start_factor),
            Self::Step(c) => (c.warmup_epochs, c.warmup_start_factor),
            Self::Cosine(c) => (c.warmup_epochs, c.warmup_start_factor),
            Self::OneCycle(c) => (c.warmup_epochs, c.warmup_start_factor),
        }
    }

    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        let (epochs, factor) = self.warmup();
        let own = match self {
            Self::Constant(_) => None,
            Self::Step(c) => c.invalid(),
            Self::Cosine(c) => c.invalid(),
            Self::OneCycle(c) => c.invalid(),
        };
        if !(epochs >= 0.0 && epochs.is_finite()) {
            return Some(("warmup_epochs", "a number of epochs, 0 or more"));
        }
        if !(factor > 0.0 && factor <= 1.0) {
            return Some(("warmup_start_factor", "a fraction above 0 and at most 1"));
        }
        own
    }
}

/// A schedule laid over a run of known length.
///
/// The warm-up is PyTorch's `SequentialLR` of a `LinearLR` and the schedule: it climbs from
/// `warmup_start_factor` of the schedule's first learning rate up to it, and the schedule then fills the steps left.
#[derive(Debug, Clone)]
pub struct Schedule {
    config: ScheduleConfig,
    lr: f64,
    steps_per_epoch: u64,
    warmup_steps: u64,
    total_steps: u64,
}

impl Schedule {
    /// A schedule around the learning rate `lr` for `epochs` epochs of `steps_per_epoch` optimiser steps.
    pub fn new(config: &ScheduleConfig, lr: f64, steps_per_epoch: u64, epochs: u64) -> Self {
        let total_steps = steps_per_epoch * epochs;
        let warmup_steps = (config.warmup().0 * steps_per_epoch as f64).round() as u64;
        Self { config: config.clone(), lr, steps_per_epoch, warmup_steps: warmup_steps.min(total_steps), total_steps }
    }

    /// The rates of optimiser step `step`, counted from 0.
    pub fn at(&self, step: u64) -> Rates {
        if step >= self.warmup_steps {
            return self.after_warmup(step - self.warmup_steps);
        }
        let first = self.after_warmup(0);
        let start = self.config.warmup().1;
        let climbed = step as f64 / self.warmup_steps as f64;
        Rates { lr: first.lr * (start + (1.0 - start) * climbed), ..first }
    }

    fn after_warmup(&self, step: u64) -> Rates {
        let steps = self.total_steps - self.warmup_steps;
        let fixed_momentum = |lr| Rates { lr, momentum: None };
        match &self.config {
            ScheduleConfig::Constant(_) => fixed_momentum(self.lr),
            ScheduleConfig::Step(c) => fixed_momentum(c.lr(self.lr, step / self.steps_per_epoch.max(1))),
            ScheduleConfig::Cosine(c) => fixed_momentum(c.lr(self.lr, step, steps)),
            ScheduleConfig::OneCycle(c) => c.rates(self.lr, step, steps),
        }
    }
}
