//! The configuration of a run: one typed struct, layered from defaults, a recipe and `--set`, completed by the data.
//!
//! [`load`] layers and checks what can be checked without data; [`resolve`] fills in what follows from the data:
//! class count, channels, input size, pixel statistics. The result is what a run directory keeps.

mod de;
mod layers;
mod nearest;
mod recipes;
mod resolve;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use tallow_augment::PipelineConfig;
use tallow_augment::batch::MixConfig;
use tallow_data::{ClassOrder, FoldOptions, OnCorrupt, OpenOptions, Sampler};
use tallow_metrics::Metric;
use tallow_models::ModelConfig;
use toml::Table;

pub(crate) use de::common_and_own;
pub use layers::{Setting, load, read};
pub use recipes::{RECIPES, Recipe};
pub use resolve::{Resolved, build_pipeline, resolve};

use crate::optim::OptimMethod;
use crate::schedule::Curve;
use crate::tta::View;
use crate::{
    BatchGrowthConfig, DistillConfig, LossConfig, OptimConfig, ProgressiveConfig, ScheduleConfig, TransferConfig,
};

/// Everything that decides the outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Where the samples come from.
    pub data: DataConfig,
    /// Which network.
    pub model: ModelChoice,
    /// Which weights it starts from, and what of them stays.
    pub transfer: TransferConfig,
    /// What is done to pixels.
    pub augment: AugmentConfig,
    /// What is made small.
    pub loss: LossConfig,
    /// Who else teaches.
    pub distill: DistillConfig,
    /// How.
    pub optim: OptimConfig,
    /// How fast.
    pub schedule: ScheduleConfig,
    /// How long, in which portions, and what is saved.
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
            schedule: Curve::Cosine(Default::default()).into(),
            train: TrainConfig::default(),
        }
    }
}

/// The `data` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A dataset's name, a folder with one sub-folder a class, or a CSV manifest.
    pub spec: String,
    /// The folder in which named datasets are looked for first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The share of the training samples that is split off, stratified, for validation; 0 to below 1. Has no effect
    /// on a dataset that brings its own validation split.
    pub validation_fraction: f64,
    /// The fold of the training samples that is left out of them: one run of a cross-validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<FoldOptions>,
    /// What that split is drawn from, for runs that are to share it, such as members of an ensemble; `train.seed` if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// The column (of a manifest or a table, or the key in a shard's JSON) of each sample's group: the validation split
    /// and folds take whole groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_column: Option<String>,
    /// The column or key of each sample's time: the validation split takes the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_column: Option<String>,
    /// The column of images in Parquet files, where it has none of the usual names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of labels in Parquet files, or the key in a shard's JSON, where it has none of the usual names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// The folder of decoded images that are kept from epoch to epoch and run to run; none are if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// The short side that JPEG files may be decoded smaller to, in pixels: at 1/2, 1/4 or 1/8, as Pillow's `Image.draft`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<u32>,
    /// The short side that images in the cache are brought to, in pixels, where it is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_side: Option<usize>,
    /// Whether training samples are streamed from WebDataset's shards, without an index of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Samples of an epoch of a stream; what `_info.json` counts if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_per_epoch: Option<usize>,
    /// How classes of a folder or a manifest are ordered: natural (`img2` before `img10`) or lexical.
    pub class_order: ClassOrder,
    /// Whether several classes can hold for a sample. The dataset says it; noted here for who uses the run later.
    pub multi_label: bool,
    /// What to do about an image that cannot be read.
    pub on_corrupt: OnCorrupt,
    /// In which order, and how often, samples are drawn.
    pub sampler: Sampler,
    /// Threads that decode and augment, 1 or more. Changes speed, never results.
    pub workers: usize,
    /// Finished batches that wait at most. Changes speed and memory, never results.
    pub prefetch: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            spec: "fashion-mnist-6k".to_owned(),
            data_dir: None,
            validation_fraction: 0.0,
            fold: None,
            split_seed: None,
            group_column: None,
            time_column: None,
            image_column: None,
            label_column: None,
            cache: None,
            draft: None,
            cache_side: None,
            stream: false,
            samples_per_epoch: None,
            class_order: ClassOrder::Natural,
            multi_label: false,
            on_corrupt: OnCorrupt::Stop,
            sampler: Sampler::Shuffled,
            workers: 1,
            prefetch: 2,
        }
    }
}

/// The `model` table: a `name`, and beside it the keys of [`ModelConfig`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelChoice {
    /// The architecture, by timm's name.
    pub name: String,
    /// What it is built with. `num_classes`, `in_chans` and `input_size` follow from the data.
    #[serde(flatten)]
    pub config: ModelConfig,
}

impl Default for ModelChoice {
    fn default() -> Self {
        Self { name: "resnet9".to_owned(), config: ModelConfig::default() }
    }
}

impl<'de> Deserialize<'de> for ModelChoice {
    // By hand: serde's `flatten` cannot tell a misspelt key from one that is somebody else's.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Table::deserialize(deserializer)?;
        let name = match table.remove("name") {
            Some(toml::Value::String(name)) => name,
            Some(other) => {
                return Err(serde::de::Error::custom(format!("`name` must be a model's name, found {other}")));
            }
            None => Self::default().name,
        };
        Ok(Self { name, config: de::from_table_within(table)? })
    }
}

/// The `augment` table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// The pipeline of training images; chosen by the image size if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PipelineConfig>,
    /// The pipeline of evaluated images, without chance; chosen by the image size if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval: Option<PipelineConfig>,
    /// Whether training images are prepared as evaluated ones are, without chance.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub train_as_eval: bool,
    /// Mixup and CutMix of training batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixConfig>,
    /// Training images that grow from epoch to epoch, for models that take any size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progressive: Option<ProgressiveConfig>,
    /// Test-time augmentation: kinds of views that are evaluated beside each image itself, the probabilities averaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tta: Vec<View>,
    /// Mean of each channel in units of pixel / 255; measured on the training split if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel in units of pixel / 255; measured if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
}

/// The `train` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training samples, 1 or more.
    pub epochs: u64,
    /// Samples a batch, 1 or more.
    pub batch_size: usize,
    /// Batches that grow from epoch to epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_growth: Option<BatchGrowthConfig>,
    /// Samples a batch in evaluation: memory and speed only.
    pub eval_batch_size: usize,
    /// Whether the incomplete batch at the end of an epoch is left out.
    pub drop_last: bool,
    /// Batches whose gradients are averaged before each step, 1 or more.
    pub accumulate: u64,
    /// What every random number of the run is drawn from.
    pub seed: u64,
    /// The number format of the arithmetic.
    pub precision: Precision,
    /// The highest L2 norm of all gradients together; larger ones are scaled down to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The largest value of a gradient, either side of 0; larger ones are cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Adaptive gradient clipping: the largest norm of a gradient in units of its weights' norm; 0.01 say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_agc: Option<f64>,
    /// The decay of the weights' moving average, which is evaluated in their place; 0.999 say, off if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Whether the average's decay climbs to `ema_decay` by `1 − (1 + step)^(−2/3)`.
    pub ema_warmup: bool,
    /// Epochs at the end whose weights are averaged, all alike (SWA), and evaluated in the weights' place; 0 for none.
    pub swa_epochs: u64,
    /// R-Drop: how much two passes over the same batch, with different dropout, are asked to agree; off if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r_drop: Option<f64>,
    /// How much weight matrices are asked to be orthogonal, 0 or more.
    pub orthogonal: f64,
    /// The highest L2 norm of the weights of an output; larger ones are scaled down after each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f64>,
    /// Whether weights that are zero at the start stay so: filters that were pruned.
    pub keep_zeros: bool,
    /// What the best epoch is judged by, and how long to wait for a better one.
    pub early_stopping: EarlyStoppingConfig,
    /// Whether the weights at the end of each cycle of `schedule.name = "cosine_restarts"` are kept, for an ensemble.
    pub snapshots: bool,
    /// Optimiser steps between two checkpoints, beside those at the end of each epoch; 0 for none.
    pub checkpoint_every_steps: u64,
    /// Minutes between two checkpoints, beside those at the end of each epoch; 0 for none.
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

/// The number format of the arithmetic of training steps. Weights, and evaluation, are f32 in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// The factors of convolutions and linear layers in bfloat16, their sums and all else in f32; see
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

/// The `train.early_stopping` table. It needs a validation split: the test split never chooses anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingConfig {
    /// The validation metric that chooses the best checkpoint.
    pub metric: &'static Metric,
    /// Epochs without a better value after which the run ends; 0 for never.
    pub patience: u64,
}

impl Default for EarlyStoppingConfig {
    fn default() -> Self {
        Self { metric: &tallow_metrics::accuracy::TOP1, patience: 0 }
    }
}

impl RunConfig {
    /// How to open the dataset `data.spec`; `classes` are those of a finished run, whose order must be kept.
    pub fn open_options(&self, classes: Option<Vec<String>>) -> OpenOptions {
        OpenOptions {
            data_dir: self.data.data_dir.clone(),
            class_order: self.data.class_order,
            classes,
            validation_fraction: self.data.validation_fraction,
            fold: self.data.fold,
            seed: self.data.split_seed.unwrap_or(self.train.seed),
            group_column: self.data.group_column.clone(),
            time_column: self.data.time_column.clone(),
            image_column: self.data.image_column.clone(),
            label_column: self.data.label_column.clone(),
            cache: self.data.cache.clone(),
            draft: self.data.draft,
            cache_side: self.data.cache_side,
            stream: self.data.stream,
            samples_per_epoch: self.data.samples_per_epoch,
        }
    }

    /// The first dotted key with a value that means nothing, and what is expected of it.
    fn invalid(&self) -> Option<(String, &'static str)> {
        let train = &self.train;
        let fraction = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let checks = [
            (fraction(self.data.validation_fraction), "data.validation_fraction", "a fraction from 0 to below 1"),
            (self.data.workers > 0, "data.workers", "1 or more"),
            (
                self.data.stream || self.data.samples_per_epoch.is_none(),
                "data.samples_per_epoch",
                "data.stream = true beside it",
            ),
            (self.data.samples_per_epoch != Some(0), "data.samples_per_epoch", "1 or more"),
            (
                !self.data.stream || self.data.validation_fraction == 0.0,
                "data.validation_fraction",
                "0 beside data.stream: samples that have no index cannot be divided; give shards of their own",
            ),
            (!self.data.stream || self.data.fold.is_none(), "data.fold", "none beside data.stream"),
            (!self.data.stream || self.data.group_column.is_none(), "data.group_column", "none beside data.stream"),
            (!self.data.stream || self.data.time_column.is_none(), "data.time_column", "none beside data.stream"),
            (!self.data.stream || self.data.cache.is_none(), "data.cache", "none beside data.stream"),
            (
                !self.data.stream
                    || matches!(self.data.sampler, Sampler::Shuffled | Sampler::Sequential | Sampler::Shards(_)),
                "data.sampler",
                "shuffled, sequential or { shards = 1000 } beside data.stream: others need an index of the samples",
            ),
            (
                !self.data.stream || !self.loss.needs_class_counts(),
                "loss.name",
                "a loss without class counts beside data.stream, which knows none; cross_entropy with class_weights, say",
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
            (!train.ema_warmup || train.ema_decay.is_some(), "train.ema_warmup", "train.ema_decay beside it"),
            (train.swa_epochs <= train.epochs, "train.swa_epochs", "at most train.epochs"),
            (
                train.swa_epochs == 0 || train.ema_decay.is_none(),
                "train.swa_epochs",
                "0 beside train.ema_decay: a run has one average",
            ),
            (
                !train.snapshots || self.schedule.cycles().is_some(),
                "train.snapshots",
                "schedule.name = \"cosine_restarts\" beside it, whose cycles they end",
            ),
            (
                !train.snapshots || train.swa_epochs == 0,
                "train.snapshots",
                "false beside train.swa_epochs: an average over cycles has no use for their ends",
            ),
            (
                self.schedule.common.weight_decay_end.is_none() || self.optim.common.weight_decay > 0.0,
                "schedule.weight_decay_end",
                "an optim.weight_decay above 0 to start from",
            ),
            (train.checkpoint_every_minutes >= 0.0, "train.checkpoint_every_minutes", "0 or more"),
        ];
        let nested = |table: &str, found: Option<(&str, &'static str)>| {
            found.map(|(key, expected)| (format!("{table}.{key}"), expected))
        };
        let first = checks.into_iter().find(|(valid, _, _)| !valid);
        first
            .map(|(_, key, expected)| (key.to_owned(), expected))
            .or_else(|| nested("train.batch_growth", train.batch_growth.as_ref().and_then(BatchGrowthConfig::invalid)))
            .or_else(|| {
                nested("augment.progressive", self.augment.progressive.as_ref().and_then(ProgressiveConfig::invalid))
            })
            .or_else(|| nested("loss", self.loss.invalid()))
            .or_else(|| nested("distill", self.distill.invalid()))
            .or_else(|| nested("optim", self.optim.invalid()))
            .or_else(|| nested("schedule", self.schedule.invalid()))
    }
}
