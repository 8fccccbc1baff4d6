//! What can go wrong in a search.

use std::path::PathBuf;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter of the space whose description means nothing.
    #[error("space.\"{key}\": expected {expected}, found {found}")]
    Domain {
        /// The parameter.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A setting of the study that means nothing.
    #[error("{key}: expected {expected}, found {found}")]
    Option {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A study file that belongs to another search.
    #[error(
        "{path}: holds the trials of another search ({what} differs): give this one another folder, or the space file that \
         the folder was made with"
    )]
    OtherStudy {
        /// The study file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A study file that cannot be read or written.
    #[error("{path}: {source}")]
    Store {
        /// The study file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// A picture that cannot be drawn.
    #[error("{picture}: {reason}")]
    Plot {
        /// Which picture.
        picture: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
