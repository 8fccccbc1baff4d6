//! What can go wrong between a path and a batch: each error names the file or field and says what to do.

use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
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
    /// A known dataset's files lie in none of the places where they are looked for.
    #[error("dataset `{name}` was not found; looked at:\n  {}\nTo get it: {get_it}", looked_at.join("\n  "))]
    NotFound {
        /// The dataset.
        name: &'static str,
        /// Every place looked at, in order.
        looked_at: Vec<String>,
        /// How to get the files.
        get_it: &'static str,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A dataset cannot be written in the format that was asked for.
    #[error("{} cannot be written as {format}: {reason}", path.display())]
    CannotWrite {
        /// Where it was to be written.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// A file is shorter or longer than its header or its record size says.
    #[error("{}: truncated or damaged: expected {expected}, found {found} bytes; fetch the file again", path.display())]
    Size {
        /// The file, for an archive with the entry in it.
        path: PathBuf,
        /// The number of bytes expected.
        expected: String,
        /// The number of bytes found.
        found: u64,
    },
    /// A file is not what its name says.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The mix of a loader means nothing.
    #[error("{source}")]
    Mix {
        /// Which of its parameters, and what it should be.
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
    /// No sample at all.
    #[error("{} holds no images: expected {expected}", path.display())]
    NoImages {
        /// The folder or manifest.
        path: PathBuf,
        /// The layout expected.
        expected: &'static str,
    },
    /// A sample's class is not one of the classes in use.
    #[error("{}: class `{class}` is not one of the {} classes in use ({}): rename it, or train with it", path.display(), known.len(), abbreviated(known))]
    UnknownClass {
        /// The folder or manifest.
        path: PathBuf,
        /// The class found.
        class: String,
        /// The classes in use.
        known: Vec<String>,
    },
    /// The dataset's own classes are not those that were asked for.
    #[error(
        "dataset `{name}` has the classes {}, asked for were {}: use the dataset that the classes come from",
        abbreviated(found),
        abbreviated(expected)
    )]
    OtherClasses {
        /// The dataset.
        name: String,
        /// The classes asked for.
        expected: Vec<String>,
        /// The dataset's classes.
        found: Vec<String>,
    },
    /// A manifest lacks a column or has a line that cannot be used.
    #[error("{}, line {line}: {problem}", path.display())]
    Manifest {
        /// The CSV file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// An image is damaged, or of a kind that cannot be decoded.
    #[error("{}: the image cannot be decoded: {reason}; repair or remove it, or leave such images out: --on-corrupt skip", path.display())]
    Decode {
        /// The image.
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },
    /// An image is larger than the decoder's limits.
    #[error("{}: the image is too large: {reason}; at most {} pixels a side, {} MB decoded and {} MB as a file are read", path.display(), crate::decode::MAX_SIDE, crate::decode::MAX_DECODED_BYTES >> 20, crate::decode::MAX_FILE_BYTES >> 20)]
    TooLarge {
        /// The image.
        path: PathBuf,
        /// What is too large.
        reason: String,
    },
    /// A dataset on the Hugging Face Hub that could not be fetched.
    #[error(transparent)]
    Hub(tallow_hub::Error),
    /// An option is outside its range.
    #[error("`{field}` must be {expected}, found {found}")]
    Option {
        /// The option.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// An image cannot be augmented (too small for a crop, …).
    #[error("sample {id}: {source}")]
    Augment {
        /// The sample.
        id: String,
        /// What the pipeline says.
        source: tallow_augment::Error,
    },
    /// Every sample of a batch is damaged, so that there is nothing to skip to.
    #[error("no sample of batch {batch} (from 0) of epoch {epoch} can be read, the first being: {first}")]
    NoGoodSample {
        /// The epoch.
        epoch: u64,
        /// The batch in the epoch, from 0.
        batch: usize,
        /// The error of the batch's first sample.
        first: Box<Error>,
    },
    /// The loader's thread ended early or could not be started.
    #[error("the loader stopped: {reason}")]
    LoaderStopped {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// True for errors of one sample that `OnCorrupt::Skip` passes over: a file that cannot be read or decoded.
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

/// The first few names: a message stays readable with a thousand classes.
fn abbreviated(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text += &format!(", … {} in all", names.len());
    }
    text
}
