//! The images that `predict` is asked for: arguments, and lists on stdin or in a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tallow_data::{Found, find_images};
use tallow_infer::ImageName;

/// Names that are found while images are classified.
type Names = Box<dyn Iterator<Item = ImageName> + Send>;

/// The names of `images` and of the list, in this order. `-` is a list on stdin. Files in folders whose names are not those
/// of images are counted in `others`.
pub fn names(images: Vec<PathBuf>, list: Option<&Path>, others: Arc<AtomicUsize>) -> Result<Names> {
    let list = list.map(open).transpose()?;
    let named = images.into_iter().flat_map(|name| -> Names {
        if name == Path::new("-") { lines(stdin(), "stdin".into()) } else { Box::new(std::iter::once(Ok(name))) }
    });
    let named = named.chain(list.into_iter().flatten());
    Ok(Box::new(named.flat_map(move |name| -> Names {
        match name {
            Ok(name) => stand_for(&name, others.clone()),
            failed => Box::new(std::iter::once(failed)),
        }
    })))
}

fn stand_for(name: &Path, others: Arc<AtomicUsize>) -> Names {
    Box::new(find_images(name).filter_map(move |found| match found {
        Found::Image(path) => Some(Ok(path)),
        Found::Failed(path, error) => Some(Err((path, error))),
        Found::Other(_) => {
            others.fetch_add(1, Ordering::Relaxed);
            None
        }
    }))
}

/// The names in a list.
fn open(list: &Path) -> Result<Names> {
    if list == Path::new("-") {
        return Ok(lines(stdin(), "stdin".into()));
    }
    let file = File::open(list).with_context(|| format!("--list {}: cannot be read", list.display()))?;
    Ok(lines(file, list.to_owned()))
}

/// The lines of a list; empty ones are left out. A list that cannot be read further is an error in its place.
fn lines(list: impl Read + Send + 'static, path: PathBuf) -> Names {
    let lines = BufReader::new(list).split(b'\n');
    Box::new(lines.filter_map(move |line| match line {
        Ok(line) => {
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            (!line.is_empty()).then(|| Ok(to_path(line)))
        }
        Err(source) => Some(Err((path.clone(), tallow_data::Error::Io { path: path.clone(), source }))),
    }))
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_line_by_line() {
        let list = lines(&b"a.png\r\n\nb c.png\nlast.png"[..], "list".into());
        let names: Vec<PathBuf> = list.map(|name| name.expect("a name")).collect();
        assert_eq!(names, ["a.png", "b c.png", "last.png"].map(PathBuf::from));
    }
}
