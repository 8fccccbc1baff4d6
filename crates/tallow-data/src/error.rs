//! The errors of this crate. Each names the file or option, what was expected and what was found.

use std::path::{Path, PathBuf};

use crate::limits::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_SIDE};
use crate::names::listed;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec is neither a known dataset nor a path that exists.
    #[error(
        "`{spec}` is neither a known dataset nor an existing folder, .csv, .jsonl, .parquet or .tar file; known datasets: {known}"
    )]
    UnknownDataset {
        /// The spec as given.
        spec: String,
        /// The names of all known datasets.
        known: String,
    },
    /// The files of a known dataset are in none of the searched places.
    #[error("dataset `{name}` was not found; searched:\n  {}\nTo get it: {get_it}", looked_at.join("\n  "))]
    NotFound {
        /// The dataset.
        name: &'static str,
        /// The searched places, in order.
        looked_at: Vec<String>,
        /// How to get the files.
        get_it: &'static str,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The dataset cannot be written in this format.
    #[error("{} cannot be written as {format}: {reason}", path.display())]
    CannotWrite {
        /// The target folder.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// A file is shorter or longer than its header or its record size requires.
    #[error("{}: truncated or damaged: expected {expected}, found {found} bytes; fetch the file again", path.display())]
    Size {
        /// The file; for an archive, with the entry in it.
        path: PathBuf,
        /// The number of bytes expected.
        expected: String,
        /// The number of bytes found.
        found: u64,
    },
    /// A file does not have the expected format.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The loader's parameters of Mixup or CutMix are invalid.
    #[error("{source}")]
    Mix {
        /// The parameter, and what is allowed.
        source: tallow_augment::Error,
    },
    /// A label is not one of the dataset's classes.
    #[error("{}: the label of sample {index} must be from {lowest} to {highest}, found {label}", path.display())]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// The sample, from 0.
        index: usize,
        /// The label found.
        label: usize,
        /// The lowest label allowed in the file.
        lowest: usize,
        /// The highest label allowed in the file.
        highest: usize,
    },
    /// A class folder holds no image.
    #[error("class folder {} holds no image ({extensions}): put images in it or remove it", path.display())]
    EmptyClass {
        /// The folder.
        path: PathBuf,
        /// The file name extensions of images.
        extensions: String,
    },
    /// The folders of a folder of images can be splits or classes.
    #[error(
        "{}: {reason}: `folder_layout` = \"splits\" takes folders with the names of splits as splits, \"classes\" takes every \
         folder as a class", path.display()
    )]
    AmbiguousFolders {
        /// The folder.
        path: PathBuf,
        /// Which folders can be read in which ways.
        reason: String,
    },
    /// There is one class only.
    #[error("there is one class only, `{class}`: a classifier needs two or more{hint}")]
    OneClass {
        /// The class.
        class: String,
        /// The folder that was probably meant, as the end of the sentence; may be empty.
        hint: String,
    },
    /// Numbered files of a dataset are missing.
    #[error(
        "{}: {} of {total} files are missing: {}; fetch them, or set `allow_missing_files` = true to go on without them",
        path.display(), missing.len(), listed(missing)
    )]
    MissingFiles {
        /// One of the files that are there.
        path: PathBuf,
        /// The names of the missing files.
        missing: Vec<String>,
        /// The number of files that there should be.
        total: usize,
    },
    /// Images of a manifest are missing.
    #[error(
        "{}: no file for {count} of {lines} lines: {}; paths are relative to the manifest's folder",
        path.display(), listed(first)
    )]
    MissingImages {
        /// The manifest.
        path: PathBuf,
        /// The number of lines whose image is missing.
        count: usize,
        /// The number of lines.
        lines: usize,
        /// The first of them, with line and path.
        first: Vec<String>,
    },
    /// There are no samples.
    #[error("{} holds no images: expected {expected}", path.display())]
    NoImages {
        /// The folder or manifest.
        path: PathBuf,
        /// The expected content.
        expected: &'static str,
    },
    /// A sample's class is not one of the classes in use.
    #[error("{}: class `{class}` is not one of the {} classes in use ({})", path.display(), known.len(), listed(known))]
    UnknownClass {
        /// The folder or manifest.
        path: PathBuf,
        /// The class found.
        class: String,
        /// The classes in use.
        known: Vec<String>,
    },
    /// The dataset's classes are not the requested ones.
    #[error("dataset `{name}` has the classes {}, expected {}", listed(found), listed(expected))]
    OtherClasses {
        /// The dataset.
        name: String,
        /// The requested classes.
        expected: Vec<String>,
        /// The dataset's classes.
        found: Vec<String>,
    },
    /// A manifest lacks a column or has an invalid line.
    #[error("{}, line {line}: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// An image is damaged or has an unsupported format.
    #[error("{}: the image cannot be decoded: {reason}", path.display())]
    Decode {
        /// The image.
        path: PathBuf,
        /// The decoder's message.
        reason: String,
    },
    /// An image is larger than the decoder's limits.
    #[error("{}: the image is too large: {reason}; at most {} pixels a side, {} MB decoded and {} MB as a file are read", path.display(), MAX_SIDE, MAX_DECODED_BYTES >> 20, MAX_FILE_BYTES >> 20)]
    TooLarge {
        /// The image.
        path: PathBuf,
        /// The size that exceeds a limit.
        reason: String,
    },
    /// A dataset on the Hugging Face Hub cannot be fetched.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(tallow_hub::Error),
    /// The dataset needs a feature of this crate that is off.
    #[error("{what}: not part of this build; enable the feature `{feature}` of the crate tallow-data")]
    FeatureOff {
        /// The kind of dataset.
        what: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// An option is outside its range.
    #[error("`{field}` must be {expected}, found {found}")]
    Option {
        /// The option.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The pipeline refuses an image (too small for a crop, …).
    #[error("sample {id}: {source}")]
    Augment {
        /// The sample.
        id: String,
        /// The pipeline's error.
        source: tallow_augment::Error,
    },
    /// No sample of a batch can be read.
    #[error("no sample of batch {batch} (counted from 0) of epoch {epoch} can be read, the first being: {first}")]
    NoGoodSample {
        /// The epoch.
        epoch: u64,
        /// The batch in the epoch, from 0.
        batch: usize,
        /// The error of the batch's first sample.
        first: Box<Error>,
    },
    /// The loader's thread ended early or cannot be started.
    #[error("the loader stopped: {reason}")]
    LoaderStopped {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Whether this is the error of a single sample that cannot be read or decoded, which
    /// [`OnCorrupt::Skip`](crate::OnCorrupt::Skip) skips.
    pub fn is_corrupt_sample(&self) -> bool {
        matches!(self, Error::Io { .. } | Error::Decode { .. } | Error::TooLarge { .. })
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Write { path, source }
    }

    pub(crate) fn format(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Error::Format { path: path.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}
