//! Files that are whole or absent under their final name.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `contents` to `path` through a temporary file in the same folder, flushed to the disk and
/// then renamed: whatever interrupts this, `path` holds the old contents or the new.
///
/// # Errors
/// The folder does not exist or cannot be written, the disk is full.
pub fn write_atomically(path: &Path, contents: &[u8]) -> Result<()> {
    write(path, contents).map_err(Error::io("write", path))
}

fn write(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let permissions = {
        // As any new file: what the umask leaves. A temporary file is its owner's alone otherwise.
        use std::os::unix::fs::PermissionsExt;
        std::fs::Permissions::from_mode(0o666)
    };
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder.prefix(".tmp-").tempfile_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?; // the new name itself
    Ok(())
}
