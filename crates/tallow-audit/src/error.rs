//! What can go wrong with an audit's inputs and outputs.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of predictions cannot be used.
    #[error("{}, line {line}: {problem}", path.display())]
    Predictions {
        /// The CSV file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong, what was expected, what to do.
        problem: String,
    },
    /// Labels and probabilities that do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A setting is outside its range.
    #[error("`{field}` must be {expected}, found {found}")]
    Option {
        /// The setting.
        field: String,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A sample that is to be kept cannot be read.
    #[error(transparent)]
    Data(#[from] tallow_data::Error),
    /// A picture cannot be encoded.
    #[error("{}: cannot write the picture: {source}", path.display())]
    Encode {
        /// The picture.
        path: PathBuf,
        /// What the encoder says.
        source: image::ImageError,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, action, source }
    }
}
