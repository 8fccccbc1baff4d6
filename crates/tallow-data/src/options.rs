//! Options for opening a dataset.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tallow_augment::PixelRule;

use crate::on_corrupt::OnCorrupt;

/// How to open a dataset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenOptions {
    /// The folder that is searched first for the files of a named dataset.
    pub data_dir: Option<PathBuf>,
    /// How class names are sorted if they come from folder names or a manifest.
    pub class_order: ClassOrder,
    /// The classes in the order of their labels, for example those of a trained model. A sample of another class is an
    /// error; a class without samples is not. `None`: the dataset's own classes.
    pub classes: Option<Vec<String>>,
    /// The fraction of the training split to hold out for validation, from 0 to below 1, stratified by class. Ignored
    /// if the dataset has a validation split.
    pub validation_fraction: f64,
    /// The cross-validation fold to exclude from the training split. The validation split is taken from the rest.
    pub fold: Option<FoldOptions>,
    /// The seed of the validation split and of the folds.
    pub seed: u64,
    /// The column of a manifest or Parquet file, or the key in a shard's JSON, with the group of each sample (patient,
    /// scene). The validation split and the folds then keep groups whole.
    pub group_column: Option<String>,
    /// The column or key with the time of each sample. The validation split then takes the latest samples. Values are
    /// numbers, or texts that sort chronologically (2024-05-31T12:00).
    pub time_column: Option<String>,
    /// The column of images in a Parquet file, or of their paths in a manifest. `None`: the column that the metadata
    /// name, or a usual name.
    pub image_column: Option<String>,
    /// The column of labels in a Parquet file or a manifest, or the label's key in a shard's JSON. `None`: a usual name.
    pub label_column: Option<String>,
    /// The column of the split in a manifest. `None`: `split`.
    pub split_column: Option<String>,
    /// The column of the weight in a manifest. `None`: `weight`.
    pub weight_column: Option<String>,
    /// The text between the labels of a sample in a CSV manifest; giving it makes `label_column` multi-label. `None`: `|`
    /// in a column `labels`, and one label in all others.
    pub label_separator: Option<String>,
    /// How the folders of a folder of images are read.
    pub folder_layout: FolderLayout,
    /// Whether a set of numbered files (`00000-of-00005`) may lack some.
    pub allow_missing_files: bool,
    /// With [`OnCorrupt::Skip`], lines of a manifest whose file is missing are left out and counted.
    pub on_corrupt: OnCorrupt,
    /// Open as much as possible, for a description: what would stop training (empty classes, missing files, labels that
    /// are no class) becomes a sentence in [`Splits::notes`](crate::Splits::notes).
    pub describe: bool,
    /// The conversion of 16-bit, float and transparent images to 8-bit pixels.
    pub pixel_rule: PixelRule,
    /// Decode JPEG files at the smallest of 1/2, 1/4 and 1/8 scale whose short side has at least this many pixels
    /// ([`ScaledJpeg`](crate::ScaledJpeg)). `None`: at full size.
    pub draft: Option<u32>,
    /// The folder of the [cache](crate::Cached) of decoded images. `None`: images are decoded again in every epoch.
    pub cache: Option<PathBuf>,
    /// Images whose short side is longer than this, in pixels, are resized to it before they are cached. `None`: cached
    /// at full size.
    pub cache_side: Option<usize>,
    /// Stream the training samples instead of indexing them: WebDataset shards are read from start to end in every
    /// epoch, from files or `http(s)://` addresses, in constant memory.
    pub stream: bool,
    /// The number of samples in an epoch of a stream. `None`: the number in `_info.json`.
    pub samples_per_epoch: Option<usize>,
}

/// How the folders of a folder of images are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FolderLayout {
    /// As splits if a folder has the name of the training split and holds class folders, else as classes. What can be
    /// either is an error.
    #[default]
    Auto,
    /// Every folder is a class, whatever its name.
    Classes,
    /// Folders with the names of splits are splits; others are not taken.
    Splits,
}

/// How class names are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClassOrder {
    /// Numbers in names count as numbers: "class 2" before "class 10".
    #[default]
    Natural,
    /// By Unicode code points, as torchvision sorts: "class 10" before "class 2".
    Lexical,
}

/// One fold of a (repeated) cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FoldOptions {
    /// The number of folds, 2 or more.
    pub count: usize,
    /// The fold that is held out, counted from 0. Indices from `count` on are folds of further repeats: repeat
    /// `index / count` divides the samples with seed `seed + index / count`.
    pub index: usize,
}
