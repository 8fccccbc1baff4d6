//! Schedules: learning rate, momentum and weight decay of every optimiser step, as a pure function of the step.
//!
//! A schedule holds no state, so a resumed run needs nothing but its step; `plateau` alone follows the metric, and its
//! [`Plateau`] is part of the checkpoint. To add one: a file with its config and its curve, a variant of [`Curve`], a line
//! in each `match` below.

mod common;
mod cosine;
mod cosine_restarts;
mod exponential;
mod multi_step;
mod one_cycle;
mod plateau;
mod polynomial;
mod step;
mod triangular;
mod wsd;

#[cfg(test)]
mod tests;

use std::f64::consts::PI;

use serde::{Deserialize, Deserializer, Serialize};

pub use common::{ScheduleCommon, Warmup};
pub use cosine::CosineConfig;
pub use cosine_restarts::CosineRestartsConfig;
pub use exponential::ExponentialConfig;
pub use multi_step::MultiStepConfig;
pub use one_cycle::OneCycleConfig;
pub use plateau::{Plateau, PlateauConfig};
pub use polynomial::PolynomialConfig;
pub use step::StepConfig;
pub use triangular::{TriangularConfig, TriangularMode};
pub use wsd::{WsdConfig, WsdDecay};

use crate::config::common_and_own;

/// What an optimiser is told at each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub lr: f64,
    /// SGD's and RMSprop's momentum or Adam's β₁, where the schedule moves it.
    pub momentum: Option<f64>,
    /// What every weight decay is multiplied by; 1 where the schedule does not move it.
    pub decay_scale: f64,
}

impl Rates {
    /// A learning rate, all else as the optimiser has it.
    pub fn new(lr: f64) -> Self {
        Self { lr, momentum: None, decay_scale: 1.0 }
    }
}

/// The `schedule` table of a run's config: a `name`, the keys of that curve, and those that all have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleConfig {
    /// Which curve, with its own keys.
    #[serde(flatten)]
    pub curve: Curve,
    /// What all have.
    #[serde(flatten)]
    pub common: ScheduleCommon,
}

impl<'de> Deserialize<'de> for ScheduleConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (curve, common) = common_and_own(deserializer, ScheduleCommon::KEYS, |_: &Curve, _| {})?;
        Ok(Self { curve, common })
    }
}

impl From<Curve> for ScheduleConfig {
    fn from(curve: Curve) -> Self {
        Self { curve, common: ScheduleCommon::default() }
    }
}

/// A curve of the learning rate with its own keys, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Curve {
    /// `optim.lr` throughout.
    Constant(ConstantConfig),
    /// `optim.lr · gamma^⌊epoch / step_epochs⌋`.
    Step(StepConfig),
    /// The same at epochs that are named.
    MultiStep(MultiStepConfig),
    /// `optim.lr · gamma^epochs`.
    Exponential(ExponentialConfig),
    /// A power of what is left.
    Polynomial(PolynomialConfig),
    /// Half a cosine from `optim.lr` down to `min_lr`.
    Cosine(CosineConfig),
    /// Half cosines, one after the other.
    CosineRestarts(CosineRestartsConfig),
    /// Up to `optim.lr` and down to almost nothing.
    OneCycle(OneCycleConfig),
    /// Straight up to `optim.lr` and down again, many times.
    Triangular(TriangularConfig),
    /// `optim.lr`, and down at the end.
    Wsd(WsdConfig),
    /// Down by a factor where the validation metric no longer improves.
    Plateau(PlateauConfig),
}

/// The constant schedule has no keys of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConstantConfig {}

/// A place in a curve, behind the warm-up.
#[derive(Debug, Clone, Copy)]
struct Place {
    step: u64,
    /// Of the whole curve.
    steps: u64,
    steps_per_epoch: u64,
}

impl Place {
    /// Whole epochs since the curve began.
    fn epoch(self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }

    /// The same with the fraction.
    fn epochs(self) -> f64 {
        self.step as f64 / self.steps_per_epoch.max(1) as f64
    }

    /// How much of the curve is done, 0 to 1.
    fn done(self) -> f64 {
        (self.step as f64 / self.steps.max(1) as f64).min(1.0)
    }
}

impl ScheduleConfig {
    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        let own = match &self.curve {
            Curve::Constant(_) => None,
            Curve::Step(c) => c.invalid(),
            Curve::MultiStep(c) => c.invalid(),
            Curve::Exponential(c) => c.invalid(),
            Curve::Polynomial(c) => c.invalid(),
            Curve::Cosine(c) => c.invalid(),
            Curve::CosineRestarts(c) => c.invalid(),
            Curve::OneCycle(c) => c.invalid(),
            Curve::Triangular(c) => c.invalid(),
            Curve::Wsd(c) => c.invalid(),
            Curve::Plateau(c) => c.invalid(),
        };
        let cycles = matches!(&self.curve, Curve::OneCycle(c) if c.cycle_momentum);
        let both = (cycles && self.common.momentum.is_some())
            .then_some(("momentum", "none beside one_cycle's own: set schedule.cycle_momentum = false"));
        self.common.invalid().or(own).or(both)
    }

    /// The schedule of cycles, if it is one.
    pub fn cycles(&self) -> Option<&CosineRestartsConfig> {
        match &self.curve {
            Curve::CosineRestarts(config) => Some(config),
            _ => None,
        }
    }

    /// The plateau schedule, if it is one.
    pub fn plateau(&self) -> Option<&PlateauConfig> {
        match &self.curve {
            Curve::Plateau(config) => Some(config),
            _ => None,
        }
    }
}

/// A schedule laid over a run of known length.
///
/// The warm-up is PyTorch's `SequentialLR` of a `LinearLR` (or `ConstantLR`) and the schedule: it climbs from
/// `warmup_start_factor` of the schedule's first learning rate up to it, and the schedule then fills the steps left, up
/// to the cool-down, which holds what the schedule ends with.
#[derive(Debug, Clone)]
pub struct Schedule {
    config: ScheduleConfig,
    lr: f64,
    weight_decay: f64,
    steps_per_epoch: u64,
    warmup_steps: u64,
    cooldown_steps: u64,
    total_steps: u64,
}

impl Schedule {
    /// A schedule around the learning rate `lr` for `epochs` epochs of `steps_per_epoch` optimiser steps.
    pub fn new(config: &ScheduleConfig, lr: f64, steps_per_epoch: u64, epochs: u64) -> Self {
        let total_steps = steps_per_epoch * epochs;
        let steps = |epochs: f64| (epochs * steps_per_epoch as f64).round() as u64;
        let warmup_steps = steps(config.common.warmup_epochs).min(total_steps);
        let cooldown_steps = steps(config.common.cooldown_epochs).min(total_steps - warmup_steps);
        let config = config.clone();
        Self { config, lr, weight_decay: 0.0, steps_per_epoch, warmup_steps, cooldown_steps, total_steps }
    }

    /// The optimiser's weight decay, from which `weight_decay_end` is gone to.
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The cycles that are complete when `steps` optimiser steps are done; 0 of a schedule without cycles.
    pub fn cycles_done(&self, steps: u64) -> u64 {
        let last = self.total_steps - self.cooldown_steps;
        let epochs = steps.min(last).saturating_sub(self.warmup_steps) as f64 / self.steps_per_epoch.max(1) as f64;
        self.config.cycles().map_or(0, |cycles| cycles.done(epochs))
    }

    /// The rates of optimiser step `step`, counted from 0, after what a plateau has seen.
    pub fn after(&self, step: u64, plateau: &Plateau) -> Rates {
        let rates = self.at(step);
        match self.config.plateau() {
            Some(config) => Rates { lr: config.reduced(rates.lr, plateau), ..rates },
            None => rates,
        }
    }

    /// The rates of optimiser step `step`, counted from 0.
    pub fn at(&self, step: u64) -> Rates {
        let common = &self.config.common;
        let done = (step as f64 / self.total_steps.max(1) as f64).min(1.0);
        let half_cosine = |start: f64, end: f64| end + (start - end) * (1.0 + (PI * done).cos()) / 2.0;
        let mut rates = self.curve_at(step);
        if let Some((start, end)) = common.momentum {
            rates.momentum = Some(half_cosine(start, end));
        }
        if let Some(end) = common.weight_decay_end.filter(|_| self.weight_decay > 0.0) {
            rates.decay_scale = half_cosine(self.weight_decay, end) / self.weight_decay;
        }
        rates
    }

    fn curve_at(&self, step: u64) -> Rates {
        let common = &self.config.common;
        let step = match common.per_epoch {
            true => step - step % self.steps_per_epoch.max(1),
            false => step,
        };
        if step >= self.warmup_steps {
            return self.after_warmup(step - self.warmup_steps);
        }
        let first = self.after_warmup(0);
        let start = common.warmup_start_factor;
        let climbed = match common.warmup {
            Warmup::Linear => step as f64 / self.warmup_steps as f64,
            Warmup::Constant => 0.0,
        };
        Rates { lr: first.lr * (start + (1.0 - start) * climbed), ..first }
    }

    fn after_warmup(&self, step: u64) -> Rates {
        let steps = self.total_steps - self.warmup_steps - self.cooldown_steps;
        let step = if self.cooldown_steps > 0 { step.min(steps) } else { step };
        let place = Place { step, steps, steps_per_epoch: self.steps_per_epoch };
        let lr = self.lr;
        Rates::new(match &self.config.curve {
            Curve::Constant(_) | Curve::Plateau(_) => lr,
            Curve::Step(c) => c.lr(lr, place.epoch()),
            Curve::MultiStep(c) => c.lr(lr, place.epoch()),
            Curve::Exponential(c) => c.lr(lr, place.epochs()),
            Curve::Polynomial(c) => c.lr(lr, place.done()),
            Curve::Cosine(c) => c.lr(lr, place.done()),
            Curve::CosineRestarts(c) => c.lr(lr, place.epochs()),
            Curve::Triangular(c) => c.lr(lr, place),
            Curve::Wsd(c) => c.lr(lr, place.done()),
            Curve::OneCycle(c) => return c.rates(lr, step, steps),
        })
    }
}

fn min_lr_invalid(min_lr: f64) -> Option<(&'static str, &'static str)> {
    (!(min_lr >= 0.0 && min_lr.is_finite())).then_some(("min_lr", "a learning rate, 0 or more"))
}

fn factor_invalid(key: &'static str, factor: f64) -> Option<(&'static str, &'static str)> {
    (!(factor > 0.0 && factor.is_finite())).then_some((key, "a factor above 0"))
}
