//! The `[data]` section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tallow_data::{ClassOrder, FoldOptions, OnCorrupt, OpenOptions, Sampler};

/// The `[data]` section: the dataset, its splits, and how samples are loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The name of a dataset, a folder with one sub-folder per class, or a CSV manifest.
    pub spec: String,
    /// The folder in which named datasets are looked for first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The fraction of the training samples that is held out for validation, stratified by class; 0 to below 1. It has no
    /// effect on a dataset with a validation split of its own.
    pub validation_fraction: f64,
    /// The fold that is held out of the training samples: one run of a cross-validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<FoldOptions>,
    /// The seed of that split, for runs that share it, such as members of an ensemble; `train.seed` if
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
    /// The order of the classes of a folder or a manifest: natural (`img2` before `img10`) or lexical.
    pub class_order: ClassOrder,
    /// Whether the data are multi-label. Training sets it from the dataset.
    pub multi_label: bool,
    /// The treatment of images that cannot be read.
    pub on_corrupt: OnCorrupt,
    /// The order and the frequency in which samples are drawn.
    pub sampler: Sampler,
    /// Threads that decode and augment, 1 or more. Changes speed, never results.
    pub workers: usize,
    /// Batches that are prepared in advance at most. Changes speed and memory, never results.
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

impl DataConfig {
    /// The options to open the dataset `spec` with. `seed` divides the data where `split_seed` is absent; `classes` are the
    /// class names of a trained run, whose order must be kept.
    pub fn open_options(&self, seed: u64, classes: Option<Vec<String>>) -> OpenOptions {
        OpenOptions {
            data_dir: self.data_dir.clone(),
            class_order: self.class_order,
            classes,
            validation_fraction: self.validation_fraction,
            fold: self.fold,
            seed: self.split_seed.unwrap_or(seed),
            group_column: self.group_column.clone(),
            time_column: self.time_column.clone(),
            image_column: self.image_column.clone(),
            label_column: self.label_column.clone(),
            cache: self.cache.clone(),
            draft: self.draft,
            cache_side: self.cache_side,
            stream: self.stream,
            samples_per_epoch: self.samples_per_epoch,
        }
    }
}
