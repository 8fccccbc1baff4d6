//! Expands a spec into files: braces, wildcards, addresses; and reads the split from a file name.

use std::path::{Path, PathBuf};

use super::files::natural;
use crate::error::{Error, Result};

/// The file name extension of Parquet files.
pub(crate) const PARQUET: &str = "parquet";
/// The file name extension of WebDataset shards.
pub(crate) const SHARD: &str = "tar";
/// The most files that a spec may expand to.
const MAX_FILES: usize = 1 << 20;

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    /// The split with this usual name, in upper or lower case.
    pub fn by_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "validation" | "valid" | "val" | "dev" | "eval" | "evaluation" => Some(Split::Validation),
            "test" | "testing" => Some(Split::Test),
            _ => None,
        }
    }

    /// The split that a word of the file's name, or else of a folder's name below `root`, names, as on the Hub:
    /// `data/train-00000-of-00002.parquet`, `test/0000.parquet`.
    #[cfg(any(feature = "parquet", feature = "wds"))]
    pub fn of(path: &Path, root: &Path) -> Option<Self> {
        let below = path.strip_prefix(root).unwrap_or(path);
        below.components().rev().find_map(|part| {
            let part = part.as_os_str().to_string_lossy().into_owned();
            part.split(|c: char| !c.is_ascii_alphanumeric()).find_map(Split::by_name)
        })
    }

    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// The `http(s)://` address in a path of a spec, if it is one.
pub(crate) fn address(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://"))
}

/// The path part of an address, without host and query: `train/x-0.tar`.
pub(crate) fn path_of(address: &str) -> &str {
    let behind = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = behind.split_once('/').map_or("", |(_, path)| path);
    path.split(['?', '#']).next().unwrap_or(path)
}

/// Whether a file or an address is a shard by its name.
pub(crate) fn is_shard(path: &Path) -> bool {
    let path = address(path).map_or(path, |address| Path::new(path_of(address)));
    has_extension(path, &[SHARD])
}

/// Whether the spec contains braces or wildcards.
pub(crate) fn is_pattern(spec: &str) -> bool {
    spec.contains(['*', '?', '{']) || spec.contains("::")
}

/// The files that a spec expands to, in order: `::` joins specs, `{0000..0099}` counts, `{a,b}` lists, `*` and `?`
/// match names (in natural order).
pub(crate) fn expand(spec: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for part in spec.split("::") {
        for name in expand_braces(part)? {
            // The files at an address cannot be listed, and `?` begins its query.
            if address(Path::new(&name)).is_some() || !name.contains(['*', '?']) {
                files.push(PathBuf::from(name));
                continue;
            }
            let pattern = |reason: String| Error::format(Path::new(spec), "a pattern of file names", reason);
            let mut found: Vec<PathBuf> =
                glob::glob(&name).map_err(|error| pattern(error.to_string()))?.filter_map(|path| path.ok()).collect();
            sort(&mut found);
            files.extend(found);
        }
    }
    Ok(files)
}

/// The files anywhere below a folder, hidden ones left out, that have one of the extensions; in natural order.
pub(crate) fn below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type().map_err(Error::io(&path))?.is_dir() {
                folders.push(path);
            } else if has_extension(&path, extensions) {
                files.push(path);
            }
        }
    }
    sort(&mut files);
    Ok(files)
}

/// Whether the file name has one of the extensions, in upper or lower case.
pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| extensions.iter().any(|e| e.eq_ignore_ascii_case(found)))
}

fn sort(files: &mut [PathBuf]) {
    files.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
}

/// All names that a text with braces stands for; the first pair of braces varies slowest.
fn expand_braces(text: &str) -> Result<Vec<String>> {
    let fail = |found: &str| Error::format(Path::new(text), "braces as {0000..0099} or {a,b}", found);
    let mut done = vec![String::new()];
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}').ok_or_else(|| fail("a brace that is not closed"))?;
        let choices: Vec<String> = match inside.split_once("..") {
            Some((first, last)) => {
                let number = |text: &str| text.parse::<usize>().map_err(|_| fail(inside));
                let (start, end) = (number(first)?, number(last)?);
                if start > end || end - start >= MAX_FILES {
                    return Err(fail(inside));
                }
                let width = if first.starts_with('0') { first.len() } else { 0 };
                (start..=end).map(|n| format!("{n:0width$}")).collect()
            }
            None => inside.split(',').map(String::from).collect(),
        };
        if done.len() * choices.len() > MAX_FILES {
            return Err(fail("more than a million files"));
        }
        done = done.iter().flat_map(|start| choices.iter().map(move |c| format!("{start}{before}{c}"))).collect();
        rest = behind;
    }
    Ok(done.into_iter().map(|start| start + rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_count_and_list() {
        assert_eq!(expand_braces("x-{08..10}.tar").unwrap(), ["x-08.tar", "x-09.tar", "x-10.tar"]);
        assert_eq!(expand_braces("{a,b}/{1..2}").unwrap(), ["a/1", "a/2", "b/1", "b/2"]);
        assert_eq!(expand_braces("plain.tar").unwrap(), ["plain.tar"]);
        let signed = "https://host/a{1,2}.tar?key=*::b.tar";
        assert_eq!(
            expand(signed).unwrap(),
            ["https://host/a1.tar?key=*", "https://host/a2.tar?key=*", "b.tar"].map(PathBuf::from)
        );
        assert_eq!(expand("a.tar::b{1,2}.tar").unwrap(), ["a.tar", "b1.tar", "b2.tar"].map(PathBuf::from));
        for wrong in ["{0..", "{2..1}", "{a..b}", "{0..99999999}", "{0..9999}{0..9999}"] {
            assert!(expand_braces(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_told_from_paths() {
        let signed = "https://test.example.org/data/train/x-0.tar?key=a/b.c";
        assert_eq!(address(Path::new(signed)), Some(signed));
        assert_eq!(address(Path::new("data/x.tar")), None);
        assert_eq!(path_of(signed), "data/train/x-0.tar");
        assert_eq!(path_of("http://host"), "");
        assert!(is_shard(Path::new(signed)) && !is_shard(Path::new("x.tar.gz")));
    }

    #[test]
    fn file_names_tell_the_split() {
        for (path, split) in [
            ("data/train-00000-of-00001.parquet", Some(Split::Train)),
            ("default/test/0000.parquet", Some(Split::Test)),
            ("valid_1.tar", Some(Split::Validation)),
            ("train/my-dev.tar", Some(Split::Validation)),
            ("training.parquet", Some(Split::Train)),
            ("latest.parquet", None),
        ] {
            assert_eq!(Split::of(Path::new(path), Path::new("")), split, "{path}");
        }
        assert_eq!(Split::of(Path::new("/test/a.tar"), Path::new("/test")), None);
    }
}
