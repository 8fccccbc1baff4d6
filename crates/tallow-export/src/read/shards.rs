//! Weights divided into several files, with an index of their tensors: `model.safetensors.index.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::entry::Entry;
use super::file::read_file;
use super::format::Format;
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// The end of an index file's name.
pub(crate) const INDEX_SUFFIX: &str = ".index.json";

/// An index file: the file of each tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether a path has the name of an index.
pub(super) fn is_index(path: &Path) -> bool {
    name(path).is_some_and(|name| name.ends_with(INDEX_SUFFIX))
}

/// The index of a shard, `model.safetensors.index.json` for `model-00001-of-00003.safetensors`; `None` for a file that is no
/// shard of several.
///
/// # Errors
/// A shard without the index.
pub(crate) fn index_beside(path: &Path) -> Result<Option<PathBuf>> {
    let Some((stem, end)) = name(path).and_then(|name| name.rsplit_once('.')) else { return Ok(None) };
    let number = |text: &str| -> Option<u32> {
        (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let parts = stem.rsplit_once("-of-").and_then(|(front, count)| {
        let (name, index) = front.rsplit_once('-')?;
        Some((name, number(index)?, number(count)?))
    });
    let Some((name, _, 2..)) = parts else { return Ok(None) };
    let expected = format!("{name}.{end}{INDEX_SUFFIX}");
    let index = path.with_file_name(&expected);
    match index.is_file() {
        true => Ok(Some(index)),
        false => Err(Error::MissingShards { path: path.to_path_buf(), missing: vec![expected] }),
    }
}

/// The tensors of all shards of an index, sorted by name.
pub(super) fn read_shards(path: &Path) -> Result<(Format, Vec<Entry>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    let wrong = |expected: &str, found: &str| Error::Config {
        path: path.to_path_buf(),
        field: "weight_map".into(),
        expected: expected.into(),
        found: excerpt(found),
    };
    let files: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    if files.is_empty() {
        return Err(wrong("tensors' names with their files", "empty"));
    }
    let plain = |file: &&str| matches!(Path::new(file).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    if let Some(file) = files.iter().find(|file| !plain(file)) {
        return Err(wrong("names of files beside it", file));
    }
    let missing: Vec<String> =
        files.iter().filter(|file| !path.with_file_name(file).is_file()).map(|file| excerpt(file)).collect();
    if !missing.is_empty() {
        return Err(Error::MissingShards { path: path.to_path_buf(), missing });
    }
    let (mut format, mut entries) = (Format::Safetensors, Vec::new());
    for file in files {
        let shard = path.with_file_name(file);
        let (found, _, tensors) = read_file(&shard)?;
        let listed = |name: &str| index.weight_map.get(name).is_some_and(|of| of == file);
        if let Some(entry) = tensors.iter().find(|entry| !listed(&entry.name)) {
            return Err(wrong(&format!("{} in {}", excerpt(&entry.name), excerpt(file)), "no such entry"));
        }
        let expected = index.weight_map.iter().filter(|(_, of)| *of == file);
        let held: BTreeSet<&str> = tensors.iter().map(|entry| entry.name.as_str()).collect();
        if let Some((name, _)) = expected.into_iter().find(|(name, _)| !held.contains(name.as_str())) {
            let reason = format!("{} is missing, which the index names", excerpt(name));
            return Err(Error::Corrupt { path: shard, reason });
        }
        format = found;
        entries.extend(tensors);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((format, entries))
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}
