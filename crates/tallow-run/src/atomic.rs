//! Files that are written whole or not at all.

use std::path::Path;

use crate::{Error, Result};

/// Writes a file through a temporary one beside it: a crash leaves the old file or the new one.
///
/// # Errors
/// A folder that cannot be written; a full disk.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    tallow_base::write_atomically(path, content).map_err(Error::io(path, "write this file"))
}
