//! Schedules: learning rate, momentum and weight decay of every optimiser step, as a pure function of the step.
//!
//! A schedule holds no state, so that a resumed run needs only its step. The exception is `plateau`, which follows a metric:
//! its [`Plateau`] is part of the checkpoint. A new schedule is one file with its config and its [`ScheduleOptions`], and one
//! row of the table below.

mod common;
mod constant;
mod cosine;
mod cosine_restarts;
mod exponential;
mod multi_step;
mod one_cycle;
mod plateau;
mod polynomial;
mod step;
mod traits;
mod triangular;
mod wsd;

#[cfg(test)]
mod tests;

use std::f64::consts::PI;

use serde::{Deserialize, Deserializer, Serialize};

pub use common::{ScheduleCommon, Warmup};
pub use constant::ConstantConfig;
pub use cosine::CosineConfig;
pub use cosine_restarts::CosineRestartsConfig;
pub use exponential::ExponentialConfig;
pub use multi_step::MultiStepConfig;
pub use one_cycle::OneCycleConfig;
pub use plateau::{Plateau, PlateauConfig};
pub use polynomial::PolynomialConfig;
pub use step::StepConfig;
pub use traits::{Place, Rates, ScheduleOptions};
pub use triangular::{TriangularConfig, TriangularMode};
pub use wsd::{WsdConfig, WsdDecay};

use crate::table::common_and_own;
use crate::validity::{Validity, check};

/// The `schedule` table of a config: a `name`, the keys of that curve, and the keys that all schedules have.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct ScheduleConfig {
    /// The curve with its own keys.
    #[serde(flatten)]
    pub method: ScheduleMethod,
    /// The keys that all schedules have.
    #[serde(flatten)]
    pub common: ScheduleCommon,
}

impl<'de> Deserialize<'de> for ScheduleConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (method, common) = common_and_own(deserializer, ScheduleCommon::KEYS, |_: &ScheduleMethod, _| {})?;
        Ok(Self { method, common })
    }
}

impl From<ScheduleMethod> for ScheduleConfig {
    fn from(method: ScheduleMethod) -> Self {
        Self { method, common: ScheduleCommon::default() }
    }
}

/// Defines [`ScheduleMethod`] from one row per schedule.
macro_rules! schedules {
    ($($(#[$doc:meta])* $name:literal: $variant:ident($config:ident);)*) => {
        /// A learning-rate curve with its own keys; `name` chooses it.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "name")]
        pub enum ScheduleMethod {
            $($(#[$doc])* #[serde(rename = $name)] $variant($config),)*
        }

        impl ScheduleMethod {
            /// The names of all schedules.
            pub const NAMES: &[&str] = &[$($name),*];

            fn options(&self) -> &dyn ScheduleOptions {
                match self {
                    $(Self::$variant(config) => config,)*
                }
            }
        }
    };
}

// A new schedule: its file above, and one row here.
schedules! {
    /// `optim.lr` throughout.
    "constant": Constant(ConstantConfig);
    /// `optim.lr · gamma^⌊epoch / step_epochs⌋`.
    "step": Step(StepConfig);
    /// A factor at each epoch of a list.
    "multi_step": MultiStep(MultiStepConfig);
    /// `optim.lr · gamma^epochs`.
    "exponential": Exponential(ExponentialConfig);
    /// A power of the remaining fraction of the run.
    "polynomial": Polynomial(PolynomialConfig);
    /// Half a cosine from `optim.lr` down to `min_lr`.
    "cosine": Cosine(CosineConfig);
    /// Half cosines with warm restarts.
    "cosine_restarts": CosineRestarts(CosineRestartsConfig);
    /// Up to `optim.lr` and down to almost 0.
    "one_cycle": OneCycle(OneCycleConfig);
    /// Linearly up to `optim.lr` and down again, in cycles.
    "triangular": Triangular(TriangularConfig);
    /// Warm-up, stable, decay: `optim.lr`, and down at the end.
    "wsd": Wsd(WsdConfig);
    /// Down by a factor where the validation metric no longer improves.
    "plateau": Plateau(PlateauConfig);
}

impl ScheduleConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn validate(&self) -> Validity {
        let options = self.method.options();
        self.common.validate().and_then(|()| options.validate()).and(check(
            !options.moves_momentum() || self.common.momentum.is_none(),
            "momentum",
            "none with one_cycle's own: set schedule.cycle_momentum = false",
        ))
    }

    /// The cycles, of a schedule with warm restarts.
    pub fn cycles(&self) -> Option<&CosineRestartsConfig> {
        match &self.method {
            ScheduleMethod::CosineRestarts(config) => Some(config),
            _ => None,
        }
    }

    /// The plateau, of a schedule that follows a metric.
    pub fn plateau(&self) -> Option<&PlateauConfig> {
        match &self.method {
            ScheduleMethod::Plateau(config) => Some(config),
            _ => None,
        }
    }
}

/// A schedule for a run of known length.
///
/// The warm-up is PyTorch's `SequentialLR` of a `LinearLR` (or `ConstantLR`) and the schedule: it rises from
/// `warmup_start_factor` times the schedule's first learning rate to that rate. The schedule fills the remaining steps up to
/// the cool-down, which keeps the schedule's last learning rate.
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

    /// Sets the optimiser's weight decay, from which a schedule to `weight_decay_end` starts.
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The complete cycles after `steps` optimiser steps; 0 of a schedule without cycles.
    pub fn cycles_done(&self, steps: u64) -> u64 {
        let last = self.total_steps - self.cooldown_steps;
        let epochs = steps.min(last).saturating_sub(self.warmup_steps) as f64 / self.steps_per_epoch.max(1) as f64;
        self.config.cycles().map_or(0, |cycles| cycles.done(epochs))
    }

    /// The rates of optimiser step `step`, counted from 0, with the state of a plateau schedule.
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
        self.config.method.options().rates(self.lr, place)
    }
}
