//! Writing datasets: the same samples as a folder, as Parquet, as shards, or as the files of CIFAR or MNIST.
//!
//! Image files are copied as they are where the target holds image files; what has none (CIFAR, MNIST) is stored as PNG.
//! Class names, labels and splits are kept; several labels a sample, soft labels and weights are kept by folders alone,
//! in their manifest.

mod arrays;
mod folder;
mod parquet;
mod shards;

use std::fs;
use std::path::Path;

use image::codecs::png::PngEncoder;
use serde::{Deserialize, Serialize};

use crate::sources::paths::Split;
use crate::{Dataset, Error, Result, Splits};

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A folder a split, in it one a class, and a manifest, `manifest.csv`.
    Folder,
    /// Parquet files as the Hub stores images.
    Parquet,
    /// WebDataset's tar shards with timm's `_info.json`.
    Wds,
    /// CIFAR's binary files: 32 × 32 RGB; of CIFAR-10 up to 10 classes, else of CIFAR-100.
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
}

/// How a dataset is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteOptions {
    /// Samples in each Parquet file or shard, at least 1.
    pub samples_per_file: usize,
}

impl Default for WriteOptions {
    /// 10,000 samples a file.
    fn default() -> Self {
        Self { samples_per_file: 10_000 }
    }
}

/// Writes all splits into the folder `to`, which must be empty or not exist; [`open`](crate::open) reads it back. Returns
/// the number of samples written.
///
/// # Errors
/// A folder with something in it; samples that the format cannot hold; a file that cannot be read or written.
pub fn write(splits: &Splits, to: &Path, format: Format, options: &WriteOptions) -> Result<usize> {
    if options.samples_per_file == 0 {
        return Err(Error::Option { field: "samples_per_file", expected: "at least 1".into(), found: "0".into() });
    }
    fs::create_dir_all(to).map_err(Error::write(to))?;
    if fs::read_dir(to).map_err(Error::io(to))?.next().is_some() {
        return Err(cannot(to, format, "the folder is not empty: name a new one, or empty it"));
    }
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
            return Err(cannot(to, format, "it holds one label a sample; a folder holds several, and soft ones"));
        }
        if any(|dataset, index| dataset.weight(index) != 1.0) {
            return Err(cannot(to, format, "it holds no weights; a folder does"));
        }
    }
    match format {
        Format::Folder => folder::write(&given, to)?,
        Format::Parquet => parquet::write(&given, to, options)?,
        Format::Wds => shards::write(&given, to, options)?,
        Format::Cifar | Format::Idx => arrays::write(&given, to, format)?,
    }
    Ok(given.iter().map(|(_, dataset)| dataset.len()).sum())
}

fn cannot(to: &Path, format: Format, reason: impl Into<String>) -> Error {
    let name = Format::ALL.iter().find(|(_, other)| *other == format).map_or("", |(name, _)| name);
    Error::CannotWrite { path: to.into(), format: name, reason: reason.into() }
}

/// A sample as an image file with its extension: as it is stored if its format is one of `allowed`, else as PNG.
fn image_file(dataset: &dyn Dataset, index: usize, allowed: &[&str]) -> Result<(Vec<u8>, &'static str)> {
    if let Some(bytes) = dataset.encoded(index)? {
        let format = image::guess_format(&bytes).ok();
        let extension = format.and_then(|format| format.extensions_str().first().copied());
        if let Some(extension) = extension.filter(|extension| allowed.contains(extension)) {
            return Ok((bytes, extension));
        }
    }
    let mut bytes = Vec::new();
    dataset
        .image(index)?
        .write_with_encoder(PngEncoder::new(&mut bytes)) // `write_to` would compile the encoders of all formats
        .map_err(|error| Error::Decode { path: dataset.id(index).into(), reason: format!("as PNG: {error}") })?;
    Ok((bytes, "png"))
}

/// A file written whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::write(path))?;
    file.write_all(content).map_err(Error::write(path))?;
    file.persist(path).map_err(|error| Error::write(path)(error.error))?;
    Ok(())
}
