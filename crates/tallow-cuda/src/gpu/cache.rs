//! Compiled programs on disk: in a folder of the user alone, each checked by its hash before it is loaded.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tallow_base::write_atomically;

use super::nvrtc::VERSIONED_OPTIONS;
use crate::error::{Error, Result};
use crate::source::Program;

/// Bytes of a hash, at the beginning of a file.
const HASH: usize = 32;

/// The folder of compiled programs.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `$XDG_CACHE_HOME/tallow/kernels`, or that in `~/.cache`.
    pub(super) fn open_default() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        let base = base.ok_or_else(|| Error::Cache {
            path: PathBuf::from("$XDG_CACHE_HOME/tallow/kernels"),
            reason: "neither XDG_CACHE_HOME nor HOME is set".to_owned(),
        })?;
        Self::open(&base.join("tallow/kernels"))
    }

    /// This folder, which is made with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// It cannot be made, is a link or another's, or others may read or write it.
    pub fn open(folder: &Path) -> Result<Self> {
        let refused = |reason: String| Error::Cache { path: folder.to_owned(), reason };
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(|error| refused(error.to_string()))?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(refused(error.to_string())),
            _ => {}
        }
        let found = std::fs::symlink_metadata(folder).map_err(|error| refused(error.to_string()))?;
        let own = std::fs::metadata("/proc/self").map_err(|error| refused(error.to_string()))?;
        if !found.is_dir() {
            return Err(refused("expected a folder, found another kind of file".to_owned()));
        }
        if found.uid() != own.uid() {
            return Err(refused(format!("expected a folder of user {}, found one of user {}", own.uid(), found.uid())));
        }
        if found.mode() & 0o077 != 0 {
            return Err(refused(format!("expected permissions 0700, found {:04o}", found.mode() & 0o7777)));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The compiled program: the file's if it has the right hash, else what `compile` returns, which is then kept.
    pub(super) fn get_or(
        &self,
        program: &Program,
        architecture: &str,
        version: (i32, i32),
        compile: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Vec<u8>> {
        let key = key(program, architecture, version);
        let name = format!("{}-{architecture}-{}.cubin", program.name, hex(&key[..8]));
        let path = self.folder.join(name);
        if let Some(image) = std::fs::read(&path).ok().and_then(|bytes| checked(&key, bytes)) {
            return Ok(image);
        }
        let image = compile()?;
        let file = [&seal(&key, &image)[..], &image].concat();
        write_atomically(&path, file).map_err(|error| Error::Cache { path, reason: error.to_string() })?;
        Ok(image)
    }
}

/// What the compiled program depends on.
fn key(program: &Program, architecture: &str, (major, minor): (i32, i32)) -> [u8; HASH] {
    let mut hash = Sha256::new();
    for part in [&program.text()[..], architecture, &VERSIONED_OPTIONS.join(" "), &format!("NVRTC {major}.{minor}")] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The hash that a file begins with: of its key and its contents.
fn seal(key: &[u8; HASH], image: &[u8]) -> [u8; HASH] {
    Sha256::new().chain_update(key).chain_update(image).finalize().into()
}

/// The contents of a file whose hash is right.
fn checked(key: &[u8; HASH], bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (hash, image) = bytes.split_at_checked(HASH)?;
    (hash == seal(key, image)).then(|| image.to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::source::PROGRAMS;

    #[test]
    fn a_program_is_compiled_once_and_a_changed_file_again() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(&root.path().join("a/kernels")).unwrap();
        let mode = std::fs::metadata(cache.folder()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let get = |version, fresh: &[u8]| {
            let mut compiled = false;
            let image = cache.get_or(&PROGRAMS[0], "sm_90a", version, || {
                compiled = true;
                Ok(fresh.to_vec())
            });
            (image.unwrap(), compiled)
        };
        assert_eq!(get((13, 0), b"cubin"), (b"cubin".to_vec(), true));
        assert_eq!(get((13, 0), b"other"), (b"cubin".to_vec(), false));
        assert_eq!(get((13, 1), b"newer"), (b"newer".to_vec(), true), "another version of NVRTC");
        let files: Vec<PathBuf> =
            std::fs::read_dir(cache.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let mut bytes = std::fs::read(&file).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
        assert_eq!(get((13, 0), b"again"), (b"again".to_vec(), true), "a changed file is not loaded");
    }

    #[test]
    fn a_folder_of_others_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let open = |path: &Path| Cache::open(path).unwrap_err().to_string();
        let shared = root.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open(&shared).contains("expected permissions 0700, found 0755"));
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&shared, &link).unwrap();
        assert!(open(&link).contains("another kind of file"));
    }
}
