//! A folder that is written beside its place and renamed when it is complete.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::format::Format;
use crate::error::{Error, Result};

/// The file in the staged folder that its writer locks.
const LOCK: &str = ".lock";

/// The folder `.NAME.partial` beside `NAME`. It is removed if it is dropped unfinished; what a killed process left is
/// removed by the next writer.
pub(super) struct StagedFolder {
    to: PathBuf,
    partial: PathBuf,
    /// Held until the folder is renamed, so that two writers cannot share it.
    lock: Option<File>,
}

impl StagedFolder {
    /// Makes the folder.
    ///
    /// # Errors
    /// `to` is not empty; another process writes it; its parent cannot be written.
    pub fn new(to: &Path, format: Format) -> Result<Self> {
        if to.exists() && fs::read_dir(to).map_err(Error::io(to))?.next().is_some() {
            return Err(format.cannot_write(to, "the folder is not empty: name a new one, or empty it"));
        }
        let name =
            to.file_name().ok_or_else(|| format.cannot_write(to, "the path must end in the name of a folder"))?;
        let mut partial = OsString::from(".");
        partial.push(name);
        partial.push(".partial");
        let partial = to.with_file_name(partial);
        fs::create_dir_all(&partial).map_err(Error::write(&partial))?;
        let path = partial.join(LOCK);
        let lock = File::create(&path).map_err(Error::write(&path))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(format.cannot_write(to, "another process writes it"));
        }
        let staged = Self { to: to.into(), partial, lock: Some(lock) };
        for entry in fs::read_dir(&staged.partial).map_err(Error::io(&staged.partial))? {
            let path = entry.map_err(Error::io(&staged.partial))?.path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false if path.ends_with(LOCK) => Ok(()),
                false => fs::remove_file(&path),
            };
            removed.map_err(Error::write(&path))?;
        }
        Ok(staged)
    }

    /// The folder to write into.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// The folder cannot be renamed, for example because `to` is the root of a file system.
    pub fn finish(mut self) -> Result<()> {
        let lock = self.partial.join(LOCK);
        fs::remove_file(&lock).map_err(Error::write(&lock))?;
        fs::rename(&self.partial, &self.to).map_err(Error::write(&self.to))?;
        self.lock = None;
        Ok(())
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_dir_all(&self.partial); // the error that ended the writing says more
        }
    }
}
