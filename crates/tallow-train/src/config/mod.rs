//! The configuration of a run: one typed struct, layered from defaults, a recipe and settings, completed by the data.
//!
//! [`load`] layers and checks what can be checked without data; [`resolve`] fills in what follows from the data:
//! class count, channels, input size, pixel statistics. The result is what a run directory keeps.

mod batch_growth;
mod bounds;
mod distill;
mod layers;
mod nearest;
mod recipes;
mod resolve;
#[cfg(feature = "schema")]
mod schema;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tallow_data::{OpenOptions, Sampler};
use tallow_metrics::Metric;
use tallow_nn::ParamStore;
use tallow_optim::optimizer::OptimMethod;
use tallow_optim::schedule::ScheduleMethod;
use tallow_optim::{Clipping, InvalidValue, LossConfig, OptimConfig, Penalties, ScheduleConfig, WeightAverage};
use tallow_run::{AugmentConfig, DataConfig, EvalConfig, ModelChoice, ProgressiveConfig, RunSections};

pub use batch_growth::BatchGrowthConfig;
pub use distill::{DistillConfig, DistillKind};
pub use layers::{Setting, load, read};
pub use nearest::keys_named;
pub use recipes::{RECIPES, Recipe};
pub use resolve::{Resolved, resolve};
#[cfg(feature = "schema")]
pub use schema::schema;

use crate::{Result, TransferConfig};

/// The complete configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The dataset.
    pub data: DataConfig,
    /// The architecture.
    pub model: ModelChoice,
    /// Pretrained weights and frozen parameters.
    pub transfer: TransferConfig,
    /// Preprocessing and augmentation.
    pub augment: AugmentConfig,
    /// The loss to minimise.
    pub loss: LossConfig,
    /// Distillation from a teacher run.
    pub distill: DistillConfig,
    /// The optimiser.
    pub optim: OptimConfig,
    /// The learning-rate schedule.
    pub schedule: ScheduleConfig,
    /// The training loop: epochs, batches, checkpoints.
    pub train: TrainConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            data: DataConfig::default(),
            model: ModelChoice::default(),
            transfer: TransferConfig::default(),
            augment: AugmentConfig::default(),
            loss: LossConfig::CrossEntropy(Default::default()),
            distill: DistillConfig::default(),
            optim: OptimMethod::Sgd(Default::default()).into(),
            schedule: ScheduleMethod::Cosine(Default::default()).into(),
            train: TrainConfig::default(),
        }
    }
}

/// The `[train]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Epochs, 1 or more.
    pub epochs: u64,
    /// Samples per batch, 1 or more.
    pub batch_size: usize,
    /// Growth of the batch size from epoch to epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_growth: Option<BatchGrowthConfig>,
    /// Samples per batch in evaluation, 1 or more. Changes memory and speed, never results.
    pub eval_batch_size: usize,
    /// Whether the incomplete batch at the end of an epoch is dropped.
    pub drop_last: bool,
    /// Gradient accumulation: batches whose gradients are averaged before each step, 1 or more.
    pub accumulate: u64,
    /// The seed of all random numbers of the run.
    pub seed: u64,
    /// The number format of the arithmetic.
    pub precision: Precision,
    /// Gradient clipping: the highest L2 norm of all gradients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Gradient clipping: the largest absolute value of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Adaptive gradient clipping: the largest norm of a gradient in units of its weights' norm, such as 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_agc: Option<f64>,
    /// The decay of the exponential moving average of the weights, which is evaluated in their place, such as 0.999; off if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Whether the decay of the average rises to `ema_decay` by `1 − (1 + step)^(−2/3)`.
    pub ema_warmup: bool,
    /// Stochastic weight averaging (SWA): the number of last epochs whose weights are averaged; 0 for none.
    pub swa_epochs: u64,
    /// The weight of R-Drop, the divergence of two passes over each batch with different dropout; off if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r_drop: Option<f64>,
    /// The weight of the orthogonality penalty, 0 or more.
    pub orthogonal: f64,
    /// The highest L2 norm of the weights of an output; larger ones are scaled down after each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f64>,
    /// Whether weights that are zero at the start stay zero: pruned filters.
    pub keep_zeros: bool,
    /// The metric of the best epoch, and early stopping.
    pub early_stopping: EarlyStoppingConfig,
    /// Whether the weights at the end of each cycle of `schedule.name = "cosine_restarts"` are saved, for an ensemble.
    pub snapshots: bool,
    /// Optimiser steps between two checkpoints, in addition to those at the end of each epoch; 0 for none.
    pub checkpoint_every_steps: u64,
    /// Minutes between two checkpoints, in addition to those at the end of each epoch; 0 for none.
    pub checkpoint_every_minutes: f64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            batch_growth: None,
            eval_batch_size: 500,
            drop_last: false,
            accumulate: 1,
            seed: 0,
            precision: Precision::F32,
            clip_norm: None,
            clip_value: None,
            clip_agc: None,
            ema_decay: None,
            ema_warmup: false,
            swa_epochs: 0,
            r_drop: None,
            orthogonal: 0.0,
            max_norm: None,
            keep_zeros: false,
            early_stopping: EarlyStoppingConfig::default(),
            snapshots: false,
            checkpoint_every_steps: 0,
            checkpoint_every_minutes: 10.0,
        }
    }
}

impl TrainConfig {
    /// The kinds of gradient clipping.
    pub(crate) fn clipping(&self) -> Clipping {
        Clipping { value: self.clip_value, adaptive: self.clip_agc, norm: self.clip_norm }
    }

    /// The average of the weights: `ema_decay`, `swa_epochs`, or none.
    pub(crate) fn weight_average(&self, store: &ParamStore) -> Result<WeightAverage> {
        Ok(match self.ema_decay {
            Some(decay) => WeightAverage::exponential(store, decay, self.ema_warmup)?,
            None if self.swa_epochs > 0 => {
                WeightAverage::equal_from(store, self.epochs.saturating_sub(self.swa_epochs))?
            }
            None => WeightAverage::none(),
        })
    }
}

/// The number format of the arithmetic of training steps. Weights and evaluation are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// The inputs of convolutions and linear layers in bfloat16, their sums and all else in f32; see
    /// [`tallow_nn::autocast`].
    Bf16,
}

impl From<Precision> for tallow_nn::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// The `[train.early_stopping]` section. It needs a validation split: the test split never chooses anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingConfig {
    /// The validation metric that chooses the best checkpoint.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::metric"))]
    pub metric: &'static Metric,
    /// Early stopping: epochs without improvement after which the run ends; 0 for never.
    pub patience: u64,
}

impl Default for EarlyStoppingConfig {
    fn default() -> Self {
        Self { metric: &tallow_metrics::accuracy::TOP1, patience: 0 }
    }
}

impl RunConfig {
    /// The config as TOML.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string_pretty(self).map_err(tallow_run::Error::serialize("config.toml"))?)
    }

    /// The sections that inference needs.
    pub fn sections(&self) -> RunSections {
        let TrainConfig { eval_batch_size, batch_size, drop_last, seed, .. } = self.train;
        RunSections {
            data: self.data.clone(),
            model: self.model.clone(),
            augment: self.augment.clone(),
            train: EvalConfig { eval_batch_size, batch_size, drop_last, seed },
        }
    }

    /// The penalties on the weights.
    pub(crate) fn penalties(&self) -> Penalties {
        let common = &self.optim.common;
        Penalties {
            l1: common.l1,
            spare_norm_and_bias: common.no_decay_on_norm_and_bias,
            orthogonal: self.train.orthogonal,
            max_norm: self.train.max_norm,
        }
    }

    /// The options to open `data.spec` with; `classes` are those of a trained run, whose order must be kept.
    pub fn open_options(&self, classes: Option<Vec<String>>) -> OpenOptions {
        self.data.open_options(self.train.seed, classes)
    }

    /// The first dotted key whose value is out of range, and what is expected of it.
    fn first_invalid(&self) -> Option<(String, &'static str)> {
        let train = &self.train;
        let fraction = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let checks = [
            (fraction(self.data.validation_fraction), "data.validation_fraction", "a fraction from 0 to below 1"),
            (self.data.workers > 0, "data.workers", "1 or more"),
            (
                self.data.stream || self.data.samples_per_epoch.is_none(),
                "data.samples_per_epoch",
                "data.stream = true with it",
            ),
            (self.data.samples_per_epoch != Some(0), "data.samples_per_epoch", "1 or more"),
            (
                !self.data.stream || self.data.validation_fraction == 0.0,
                "data.validation_fraction",
                "0 with data.stream: give validation shards",
            ),
            (!self.data.stream || self.data.fold.is_none(), "data.fold", "none with data.stream"),
            (!self.data.stream || self.data.group_column.is_none(), "data.group_column", "none with data.stream"),
            (!self.data.stream || self.data.time_column.is_none(), "data.time_column", "none with data.stream"),
            (!self.data.stream || self.data.cache.is_none(), "data.cache", "none with data.stream"),
            (
                !self.data.stream
                    || matches!(self.data.sampler, Sampler::Shuffled | Sampler::Sequential | Sampler::Shards(_)),
                "data.sampler",
                "shuffled, sequential or { shards = 1000 } with data.stream: other samplers need an index of the samples",
            ),
            (
                !self.data.stream || !self.loss.needs_class_counts(),
                "loss.name",
                "a loss without class counts with data.stream, which has none, such as cross_entropy with class_weights",
            ),
            (train.epochs > 0, "train.epochs", "1 or more"),
            (train.batch_size > 0, "train.batch_size", "1 or more"),
            (train.eval_batch_size > 0, "train.eval_batch_size", "1 or more"),
            (train.accumulate > 0, "train.accumulate", "1 or more"),
            (train.clip_norm.is_none_or(|norm| norm > 0.0), "train.clip_norm", "a norm above 0"),
            (train.clip_value.is_none_or(positive), "train.clip_value", "a value above 0"),
            (train.clip_agc.is_none_or(positive), "train.clip_agc", "a factor above 0"),
            (train.max_norm.is_none_or(positive), "train.max_norm", "a norm above 0"),
            (train.r_drop.is_none_or(positive), "train.r_drop", "a factor above 0"),
            (train.orthogonal >= 0.0 && train.orthogonal.is_finite(), "train.orthogonal", "0 or more"),
            (train.ema_decay.is_none_or(fraction), "train.ema_decay", "a decay from 0 to below 1"),
            (!train.ema_warmup || train.ema_decay.is_some(), "train.ema_warmup", "train.ema_decay with it"),
            (train.swa_epochs <= train.epochs, "train.swa_epochs", "at most train.epochs"),
            (
                train.swa_epochs == 0 || train.ema_decay.is_none(),
                "train.swa_epochs",
                "0 with train.ema_decay: a run has one average",
            ),
            (
                !train.snapshots || self.schedule.cycles().is_some(),
                "train.snapshots",
                "schedule.name = \"cosine_restarts\" with it, whose cycles the snapshots end",
            ),
            (
                !train.snapshots || train.swa_epochs == 0,
                "train.snapshots",
                "false with train.swa_epochs: an average over cycles has no use for snapshots",
            ),
            (
                self.schedule.common.weight_decay_end.is_none() || self.optim.common.weight_decay > 0.0,
                "schedule.weight_decay_end",
                "an optim.weight_decay above 0 to start from",
            ),
            (train.checkpoint_every_minutes >= 0.0, "train.checkpoint_every_minutes", "0 or more"),
        ];
        let nested = |table: &str, found: Option<InvalidValue>| {
            found.map(|InvalidValue { key, expected }| (format!("{table}.{key}"), expected))
        };
        let first = checks.into_iter().find(|(valid, _, _)| !valid);
        first
            .map(|(_, key, expected)| (key.to_owned(), expected))
            .or_else(|| {
                nested("train.batch_growth", train.batch_growth.as_ref().and_then(BatchGrowthConfig::first_invalid))
            })
            .or_else(|| nested("augment.progressive", self.augment.progressive.as_ref().and_then(progressive_invalid)))
            .or_else(|| nested("loss", self.loss.validate().err()))
            .or_else(|| nested("distill", self.distill.first_invalid()))
            .or_else(|| nested("optim", self.optim.validate().err()))
            .or_else(|| nested("schedule", self.schedule.validate().err()))
    }
}

/// The first key of `augment.progressive` whose value is out of range, and what is expected of it.
fn progressive_invalid(config: &ProgressiveConfig) -> Option<InvalidValue> {
    let checks =
        [(config.start > 0, "start", "a side of 1 pixel or more"), (config.stages > 1, "stages", "2 sizes or more")];
    checks.into_iter().find(|(valid, _, _)| !valid).map(|(_, key, expected)| InvalidValue { key, expected })
}
