//! The errors of this crate.

use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A repository of the Hugging Face Hub cannot be fetched.
    #[error("hf:{repository}: {reason}")]
    Hub {
        /// `OWNER/REPO`, with the configuration and the revision if given.
        repository: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A file of the cache cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn hub(repository: &str, reason: impl Into<String>) -> Error {
        Error::Hub { repository: repository.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}
