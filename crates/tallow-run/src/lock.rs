//! Locks of run directories: one process at a time writes a run.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};

/// The file that is locked while a process writes a run directory. It stays, empty; the lock goes with the process.
pub(crate) const LOCK: &str = ".lock";

/// A lock on a folder, held until it and its clones are dropped or the process ends, by whatever means.
#[derive(Debug, Clone)]
pub struct RunLock {
    _file: Arc<File>,
}

impl RunLock {
    /// Locks a folder that exists. On file systems without locks, as some network ones, nothing is locked.
    ///
    /// # Errors
    /// [`Error::Locked`]; a folder that cannot be written.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io(&path, "open this file"))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: folder.to_owned() }),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _file: Arc::new(file) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_until_its_lock_is_dropped() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let lock = RunLock::take(folder.path())?;
        let copy = lock.clone();
        drop(lock);
        let second = RunLock::take(folder.path());
        assert!(matches!(&second, Err(Error::Locked { path }) if path == folder.path()), "{second:?}");
        drop(copy);
        RunLock::take(folder.path())?;
        Ok(())
    }
}
