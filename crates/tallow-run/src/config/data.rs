//! The `[data]` section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tallow_augment::PixelRule;
use tallow_data::{ClassOrder, FoldOptions, FolderLayout, OnCorrupt, OpenOptions, Sampler};

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
    /// The column of images in Parquet files, or of their paths in a manifest, where it has none of the usual names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of labels in Parquet files or a manifest, or the key in a shard's JSON, where it has none of the usual
    /// names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// The column of the split in a manifest; `split` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_column: Option<String>,
    /// The column of the weight in a manifest; `weight` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_column: Option<String>,
    /// The text between the labels of a sample in a CSV manifest; it makes `label_column` multi-label. `|` in the column
    /// `labels` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<String>,
    /// How the folders of a folder of images are read: auto, or as classes or splits whatever their names.
    #[serde(skip_serializing_if = "is_default")]
    pub folder_layout: FolderLayout,
    /// Whether a set of numbered files (`00000-of-00005`) may lack some.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_missing_files: bool,
    /// The bits that 16-bit images use, 8 to 16; all 16 if absent. Floats are scaled from 0 to 2^bits − 1, or from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_depth: Option<u8>,
    /// The colour behind transparent pixels, red, green and blue from 0 to 255; alpha is dropped if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 3]>,
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
            split_column: None,
            weight_column: None,
            label_separator: None,
            folder_layout: FolderLayout::Auto,
            allow_missing_files: false,
            bit_depth: None,
            background: None,
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl DataConfig {
    /// The conversion of decoded images to 8-bit pixels.
    pub fn pixel_rule(&self) -> PixelRule {
        PixelRule { bit_depth: self.bit_depth, background: self.background }
    }

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
            split_column: self.split_column.clone(),
            weight_column: self.weight_column.clone(),
            label_separator: self.label_separator.clone(),
            folder_layout: self.folder_layout,
            allow_missing_files: self.allow_missing_files,
            on_corrupt: self.on_corrupt,
            describe: false,
            pixel_rule: self.pixel_rule(),
            cache: self.cache.clone(),
            draft: self.draft,
            cache_side: self.cache_side,
            stream: self.stream,
            samples_per_epoch: self.samples_per_epoch,
        }
    }
}
