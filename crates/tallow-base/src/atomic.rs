//! Files that appear under their final name complete or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Writes `contents` to `path`. After a crash at any point, `path` holds its old contents or the new ones.
///
/// The contents go to `.NAME.partial` in the same folder, are forced to the disk (`fsync`) and renamed to `path`; then
/// the folder is synced. The temporary name is always the same one: the next write reuses what a killed process left,
/// so temporary files do not pile up. Writers of the same path, in any process, wait for each other.
/// The file's permissions follow the umask, as those of any new file do.
///
/// A symbolic link stays: the file that it names is replaced. What is neither a file nor a folder, such as `/dev/stdout` or a
/// pipe, cannot be replaced and is written to directly.
///
/// # Errors
/// The folder does not exist or cannot be written; the disk is full; `path` names a folder.
pub fn write_atomically(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let path = path.as_ref();
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fs::write(path, contents);
    }
    let target = if path.is_symlink() { fs::canonicalize(path)? } else { path.to_owned() };
    let path = target.as_path();
    let partial = partial_path(path)?;
    let mut file = open_locked(&partial)?;
    let written =
        file.write_all(contents.as_ref()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial); // the write's own error says more
    }
    written.and_then(|()| sync_folder(path))
}

/// `folder/.NAME.partial` for `folder/NAME`.
fn partial_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    Ok(path.with_file_name(partial))
}

/// The empty file at `partial`, locked against other writers.
fn open_locked(partial: &Path) -> io::Result<File> {
    loop {
        // Truncated only when locked: another writer may be at work.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(partial)?;
        match file.lock() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            _ => {} // some network file systems have no locks: write without one
        }
        // The writer that held the lock has renamed the file: what is locked now is the finished one.
        if is_at(&file, partial)? {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Whether `path` still names this open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((opened.dev(), opened.ino()) == (found.dev(), found.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether `path` still names this open file, which elsewhere than on Unix cannot be renamed while it is locked.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    fs::exists(path)
}

/// Forces a rename in the folder of `path` to the disk; only Unix lets a folder be opened.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        // A killed process left a longer temporary file.
        fs::write(folder.path().join(".a.json.partial"), "0123456789").unwrap();
        write_atomically(&path, "old").unwrap();
        write_atomically(&path, "new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_failed_write_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(write_atomically(folder.path().join("taken"), "x").is_err());
        assert!(write_atomically(folder.path().join("absent/file"), "x").is_err());
        assert!(write_atomically("..", "x").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn writers_of_one_path_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let contents: Vec<_> = (0..8u8).map(|writer| vec![writer; 100_000]).collect();
        std::thread::scope(|scope| {
            for content in &contents {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write_atomically(path, content).unwrap()));
            }
        });
        assert!(contents.contains(&fs::read(&path).unwrap()));
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_devices_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        write_atomically("/dev/null", "x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(names(folder.path()), ["file", "link"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_follow_the_umask() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("a"), folder.path().join("b"));
        write_atomically(&path, "x").unwrap();
        fs::write(&plain, "x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
