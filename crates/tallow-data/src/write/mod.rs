//! Writes a dataset as a folder, as Parquet files, as shards, or as the files of CIFAR or MNIST.
//!
//! Formats that hold image files receive the stored files unchanged; images that are not stored as files (CIFAR, MNIST)
//! become PNG files. Class names, labels and splits are kept. Only folders, in their manifest, keep multi-label and
//! soft labels and weights.

mod arrays;
mod folder;
mod format;
mod image_file;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "wds")]
mod shards;
mod staged;

use std::path::Path;

pub use self::format::{Format, WriteOptions};
use self::staged::StagedFolder;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::paths::Split;
use crate::splits::Splits;

/// Writes all splits into the folder `to`, which must be empty or not exist; [`open`](crate::open) reads it back. The
/// folder appears complete or not at all: what a killed process left is removed by the next call. Returns the number of
/// samples written.
///
/// # Errors
/// The folder is not empty, or another process writes it; the format cannot hold the samples, or needs a feature of this
/// crate that is off; a file cannot be read or written.
pub fn write(splits: &Splits, to: &Path, format: Format, options: &WriteOptions) -> Result<usize> {
    if options.samples_per_file == 0 {
        return Err(Error::Option { field: "samples_per_file", expected: "at least 1".into(), found: "0".into() });
    }
    let staged = StagedFolder::new(to, format)?;
    let samples = write_into(splits, staged.path(), format, options).map_err(|error| match error {
        Error::CannotWrite { format, reason, .. } => Error::CannotWrite { path: to.into(), format, reason },
        other => other,
    })?;
    staged.finish()?;
    Ok(samples)
}

/// Writes all splits into an empty folder.
fn write_into(splits: &Splits, to: &Path, format: Format, options: &WriteOptions) -> Result<usize> {
    let given = [
        (Split::Train, Some(&splits.train)),
        (Split::Validation, splits.validation.as_ref()),
        (Split::Test, splits.test.as_ref()),
    ];
    let given: Vec<(Split, &dyn Dataset)> =
        given.into_iter().filter_map(|(split, dataset)| Some((split, dataset?.as_ref()))).collect();
    if matches!(format, Format::Parquet | Format::Wds) {
        let any = |lost: fn(&dyn Dataset, usize) -> bool| {
            given.iter().any(|(_, dataset)| (0..dataset.len()).any(|index| lost(*dataset, index)))
        };
        if any(|dataset, index| dataset.target(index).is_some()) {
            let reason = "it holds one label per sample; a folder holds several, and soft labels";
            return Err(format.cannot_write(to, reason));
        }
        if any(|dataset, index| dataset.weight(index) != 1.0) {
            return Err(format.cannot_write(to, "it holds no weights; a folder does"));
        }
    }
    match format {
        Format::Folder => folder::write(&given, to)?,
        Format::Parquet => write_parquet(&given, to, options)?,
        Format::Wds => write_shards(&given, to, options)?,
        Format::Cifar | Format::Idx => arrays::write(&given, to, format)?,
    }
    Ok(given.iter().map(|(_, dataset)| dataset.len()).sum())
}

#[cfg(feature = "parquet")]
fn write_parquet(splits: &[(Split, &dyn Dataset)], to: &Path, options: &WriteOptions) -> Result<()> {
    parquet::write(splits, to, options)
}

#[cfg(feature = "wds")]
fn write_shards(splits: &[(Split, &dyn Dataset)], to: &Path, options: &WriteOptions) -> Result<()> {
    shards::write(splits, to, options)
}

#[cfg(not(feature = "parquet"))]
fn write_parquet(_: &[(Split, &dyn Dataset)], _: &Path, _: &WriteOptions) -> Result<()> {
    Err(Error::FeatureOff { what: "Parquet files", feature: "parquet" })
}

#[cfg(not(feature = "wds"))]
fn write_shards(_: &[(Split, &dyn Dataset)], _: &Path, _: &WriteOptions) -> Result<()> {
    Err(Error::FeatureOff { what: "WebDataset shards", feature: "wds" })
}
