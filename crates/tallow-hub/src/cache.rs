//! The layout of the cache folder, which Python's `huggingface_hub` shares.
//!
//! ```text
//! models--OWNER--REPO/refs/REVISION          the commit that a branch or tag stands for
//! models--OWNER--REPO/blobs/ETAG             the content of a file
//! models--OWNER--REPO/snapshots/COMMIT/FILE  a link to it
//! .locks/models--OWNER--REPO/ETAG.lock       locked while the content is downloaded
//! ```

use std::path::{Path, PathBuf};

/// The kind of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    /// The word for it in addresses and folder names.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        }
    }
}

/// The folders of a repository in the cache.
pub(crate) struct Cached {
    root: PathBuf,
    locks: PathBuf,
}

impl Cached {
    pub fn new(cache: &Path, kind: Kind, id: &str) -> Self {
        let name = format!("{}--{id}", kind.plural()).replace('/', "--");
        Self { root: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// The content with an ETag.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// The downloaded part of the content with an ETag.
    pub fn part(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// The file that is locked while the content with an ETag is downloaded.
    pub fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// The files of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The file with the commit that a revision stands for.
    pub fn reference(&self, revision: &str) -> PathBuf {
        self.root.join("refs").join(revision)
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
