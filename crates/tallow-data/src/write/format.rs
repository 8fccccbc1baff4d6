//! The formats that datasets are written in.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One folder per split, with one sub-folder per class, and a manifest, `manifest.csv`.
    Folder,
    /// Parquet files as the Hub stores images. Needs the feature `parquet`.
    Parquet,
    /// WebDataset shards with timm's `_info.json`. Needs the feature `wds`.
    Wds,
    /// CIFAR's binary files: RGB images of 32 × 32 pixels; CIFAR-10's for up to 10 classes, else CIFAR-100's.
    Cifar,
    /// MNIST's four files: grey images of one size.
    Idx,
}

impl Format {
    /// All formats with their names.
    pub const ALL: [(&str, Self); 5] = [
        ("folder", Self::Folder),
        ("parquet", Self::Parquet),
        ("wds", Self::Wds),
        ("cifar", Self::Cifar),
        ("idx", Self::Idx),
    ];

    /// The error that a dataset cannot be written to `to` in this format.
    pub(super) fn cannot_write(self, to: &Path, reason: impl Into<String>) -> Error {
        let name = Self::ALL.iter().find(|(_, other)| *other == self).map_or("", |(name, _)| name);
        Error::CannotWrite { path: to.into(), format: name, reason: reason.into() }
    }
}

/// Options for writing a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteOptions {
    /// The number of samples in each Parquet file or shard, at least 1.
    pub samples_per_file: usize,
}

impl Default for WriteOptions {
    /// 10,000 samples per file.
    fn default() -> Self {
        Self { samples_per_file: 10_000 }
    }
}
