//! The errors of this crate.

use std::path::PathBuf;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The domain of a parameter is invalid.
    #[error("space.\"{key}\": expected {expected}, found {found}")]
    Domain {
        /// The parameter's config key.
        key: String,
        /// The valid forms of a domain.
        expected: &'static str,
        /// The domain found.
        found: String,
    },
    /// A setting of the study is out of range.
    #[error("{key}: expected {expected}, found {found}")]
    Option {
        /// The setting's key.
        key: &'static str,
        /// The valid range.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A study file belongs to another search.
    #[error(
        "{path} holds the trials of another search ({what} differs): use another folder, or the space file that it was made \
         with"
    )]
    OtherStudy {
        /// The study file.
        path: PathBuf,
        /// The part of the search that differs.
        what: &'static str,
    },
    /// A study file cannot be read or written.
    #[error("{path}: {source}")]
    Store {
        /// The study file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// A plot cannot be drawn.
    #[error("cannot draw the plot `{plot}`: {reason}")]
    Plot {
        /// The plot.
        plot: &'static str,
        /// The reason.
        reason: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
