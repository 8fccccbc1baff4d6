//! The layout of the cache folder, which Python's `huggingface_hub` shares.
//!
//! ```text
//! models--OWNER--REPO/refs/REVISION          the commit that a branch or tag stands for
//! models--OWNER--REPO/blobs/ETAG             the content of a file
//! models--OWNER--REPO/snapshots/COMMIT/FILE  a link to it
//! .locks/models--OWNER--REPO/ETAG.lock       locked while the content is downloaded
//! ```

use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo};

/// The folders of a repository in the cache.
pub(crate) struct Cached {
    repo: CacheRepo,
    references: PathBuf,
    locks: PathBuf,
}

impl Cached {
    pub fn new(cache: &Path, repo: &Repo) -> Self {
        let name = repo.folder_name();
        Self {
            references: cache.join(&name).join("refs"),
            locks: cache.join(".locks").join(name),
            repo: Cache::new(cache.to_owned()).repo(repo.clone()),
        }
    }

    /// The content with an ETag.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(etag)
    }

    /// The downloaded part of the content with an ETag.
    pub fn part(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(&format!("{etag}.incomplete"))
    }

    /// The file that is locked while the content with an ETag is downloaded.
    pub fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// The files of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The file with the commit that a revision stands for.
    pub fn reference(&self, revision: &str) -> PathBuf {
        self.references.join(revision)
    }

    /// The commit that a revision stands for, as far as the cache knows; a commit stands for itself.
    pub fn commit(&self, revision: &str) -> String {
        std::fs::read_to_string(self.reference(revision))
            .map_or_else(|_| revision.to_owned(), |text| text.trim().into())
    }
}

/// Makes `link` lead to the content in `blob`, by a relative path, so that the cache can be moved. Where the system has no
/// links, the content moves there.
pub(crate) fn link(blob: &Path, link: &Path, file: &str) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        // From snapshots/COMMIT/FOLDER/… up to the repository's folder.
        let up = "../".repeat(2 + file.matches('/').count());
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), link)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        std::fs::rename(blob, link)
    }
}
