//! Downloads a file into the cache: one process at a time, resumed where it broke off, and checked before it gets its name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::cache::{Cached, link};
use crate::client::{Announced, Client};
use crate::error::{Error, Result};
use crate::failure::Failure;

/// A file to download.
pub(crate) struct Download<'a> {
    pub client: &'a Client,
    pub cached: &'a Cached,
    /// The address of the file at the announced commit.
    pub address: &'a str,
    /// The file's name in the repository.
    pub file: &'a str,
    pub announced: &'a Announced,
    pub progress: bool,
}

impl Download<'_> {
    /// The file in the cache, downloaded unless it is there.
    pub fn run(&self) -> std::result::Result<PathBuf, Failure> {
        let Announced { commit, etag, size } = self.announced;
        let pointer = self.cached.snapshot(commit).join(self.file);
        let is_there = || pointer.metadata().is_ok_and(|metadata| metadata.len() == *size);
        if is_there() {
            return Ok(pointer);
        }
        let _lock = self.lock()?;
        // Another process may have downloaded it meanwhile.
        if is_there() {
            return Ok(pointer);
        }
        let blob = self.cached.blob(etag);
        if !blob.metadata().is_ok_and(|metadata| metadata.len() == *size) {
            let part = self.cached.part(etag);
            create_parent(&part)?;
            let difference = || difference(&part, self.announced).map_err(Error::io("read", &part));
            let is_complete = part.metadata().is_ok_and(|metadata| metadata.len() == *size);
            if !is_complete || difference()?.is_some() {
                self.fetch(&part)?;
            }
            if let Some(reason) = difference()? {
                std::fs::remove_file(&part).map_err(Error::io("delete", &part))?;
                return Err(Failure::Content(reason));
            }
            std::fs::rename(&part, &blob).map_err(Error::io("write", &blob))?;
        }
        create_parent(&pointer)?;
        // A file of this name differs from the announced one.
        if pointer.symlink_metadata().is_ok() {
            std::fs::remove_file(&pointer).map_err(Error::io("replace", &pointer))?;
        }
        link(&blob, &pointer, self.file).map_err(Error::io("write", &pointer))?;
        Ok(pointer)
    }

    /// Waits until no other process downloads this content. The lock ends when the result is dropped.
    fn lock(&self) -> Result<File> {
        let path = self.cached.lock(&self.announced.etag);
        create_parent(&path)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("create", &path))?;
        match file.lock() {
            // A file system without locks.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Ok(file),
            locked => locked.map(|()| file).map_err(Error::io("lock", &path)),
        }
    }

    /// Downloads what `part` lacks.
    fn fetch(&self, part: &Path) -> std::result::Result<(), Failure> {
        let size = self.announced.size;
        let bar = bar(self.progress, self.file, size);
        let failed = || Error::io("write", part);
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(failed())?;
        let fetched = self.client.with_retries(|| {
            let length = file.metadata().map_err(failed())?.len();
            // A longer part is of another file, and servers refuse to resume a complete one.
            let from = if length < size { length } else { 0 };
            let (content, starts) = self.client.content(self.address, from)?;
            file.set_len(starts).map_err(failed())?;
            bar.set_position(starts);
            // One byte more than announced is enough to see that the content is another.
            let mut content = content.take(size - starts + 1);
            let (mut buffer, mut written) = (vec![0; 1 << 16], starts);
            loop {
                match content.read(&mut buffer)? {
                    0 if written < size => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                    0 => return Ok(()),
                    read => {
                        file.write_all(&buffer[..read]).map_err(failed())?;
                        written += read as u64;
                        bar.set_position(written);
                    }
                }
            }
        });
        bar.finish_and_clear();
        fetched
    }
}

fn bar(shown: bool, file: &str, size: u64) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let template = "{msg} [{elapsed_precise}] [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size).with_style(style).with_message(file.to_owned())
}

fn create_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))
}

/// The difference between a file and the announced one, if any: its size, or its SHA-256 if the ETag is one (for large
/// files; for others it is git's hash).
fn difference(path: &Path, announced: &Announced) -> std::io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let (found, expected) = (file.metadata()?.len(), announced.size);
    if found != expected {
        let more = if found > expected { "or more " } else { "" };
        return Ok(Some(format!("{found} {more}bytes arrived, {expected} were announced")));
    }
    if announced.etag.len() != 64 {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let differs = !hex.eq_ignore_ascii_case(&announced.etag);
    Ok(differs.then(|| format!("its SHA-256 is {hex}, {} was announced", announced.etag)))
}
