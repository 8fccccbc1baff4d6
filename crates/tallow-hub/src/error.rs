//! What can go wrong between a repository's name and its files: each error says what to do.

use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A repository on the Hugging Face Hub that could not be fetched.
    #[error("hf:{repository}: {reason}")]
    Hub {
        /// `OWNER/REPO`, with the configuration and the revision if they were given.
        repository: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A file of the cache that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}
