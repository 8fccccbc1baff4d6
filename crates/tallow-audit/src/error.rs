//! The errors of this crate.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The failed action: `read`, `write`, `create`.
        action: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file of predictions is invalid.
    #[error("{}, line {line}: {problem}", path.display())]
    Predictions {
        /// The CSV file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The problem, with what was expected.
        problem: String,
    },
    /// A file of reviewed issues is invalid.
    #[error("{}, line {line}: {problem}", path.display())]
    Reviewed {
        /// The CSV file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The problem, with what was expected.
        problem: String,
    },
    /// Labels, probabilities or embeddings are invalid or do not match.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The input.
        what: &'static str,
        /// The expected value or length.
        expected: String,
        /// The value or length found.
        found: String,
    },
    /// A setting is out of range.
    #[error("`{field}` must be {expected}, found {found}")]
    Option {
        /// The setting.
        field: String,
        /// The valid range.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A sample cannot be read.
    #[error(transparent)]
    Data(#[from] tallow_data::Error),
    /// An image cannot be encoded.
    #[error("cannot write the image {}: {source}", path.display())]
    Encode {
        /// The image file.
        path: PathBuf,
        /// The error of the encoder.
        source: image::ImageError,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, action, source }
    }
}
