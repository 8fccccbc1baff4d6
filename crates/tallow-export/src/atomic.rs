//! Files that are whole or absent under their final name.

use std::path::Path;

use crate::error::{Error, Result};

/// [`tallow_base::write_atomically`] with this crate's error.
///
/// # Errors
/// The folder does not exist or cannot be written; the disk is full.
pub fn write_atomically(path: &Path, contents: &[u8]) -> Result<()> {
    tallow_base::write_atomically(path, contents).map_err(Error::io("write", path))
}
