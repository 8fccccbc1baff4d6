//! `_info.json` beside shards: which belong to which split, how many samples they hold, and the classes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::remote::{self, address, beside};
use crate::sources::paths::Split;
use crate::{Error, Result};

/// The file's names, as timm has them.
const NAMES: [&str; 2] = ["_info.json", "info.json"];
/// Class names, one a line, as LAION's shards have them.
const CLASS_FILE: &str = "classnames.txt";

/// What the file says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Info {
    /// The splits, by name.
    #[serde(default)]
    pub splits: HashMap<String, SplitInfo>,
    /// The classes, in the labels' order. Ours: timm does not know them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
}

/// A split's shards.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SplitInfo {
    /// The split's name once more.
    pub name: String,
    /// All samples.
    pub num_samples: usize,
    /// The shards' file names.
    pub filenames: Vec<String>,
    /// The samples of each.
    pub shard_lengths: Vec<usize>,
    /// The label's key in each sample's JSON, where it is not the file `cls`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alt_label: String,
}

impl Info {
    /// What `first`, a folder of the user's choice, the first shard's folder or address, or else `root` says; nothing if
    /// there is no such file.
    pub fn beside(files: &[PathBuf], root: &Path, first: Option<&Path>) -> Result<Self> {
        let of_shards = files.first().and_then(|path| match address(path) {
            Some(_) => Some(path.clone()),
            None => path.parent().map(Path::to_path_buf),
        });
        let places =
            || [first.map(Path::to_path_buf), of_shards.clone(), Some(root.to_path_buf())].into_iter().flatten();
        let mut info = Self::default();
        if let Some((path, text)) = first_text(places(), &NAMES)? {
            info = serde_json::from_str(&text)
                .map_err(|error| Error::format(&path, "splits as timm's _info.json has them", error.to_string()))?;
        }
        if info.class_names.is_none()
            && let Some((_, text)) = first_text(places(), &[CLASS_FILE])?
        {
            info.class_names = Some(text.lines().map(|line| line.trim().to_owned()).collect());
        }
        Ok(info)
    }

    /// The samples of all these shards, if each one's are known.
    pub fn samples(&self, shards: &[PathBuf]) -> Option<usize> {
        let of_shard = |path: &PathBuf| self.find(path).and_then(|(_, info, at)| info.shard_lengths.get(at));
        shards.iter().map(of_shard).sum()
    }

    fn find(&self, path: &Path) -> Option<(&String, &SplitInfo, usize)> {
        let path = address(path).map_or(path, |address| Path::new(remote::path_of(address)));
        let name = path.file_name()?.to_string_lossy();
        self.splits.iter().find_map(|(split, info)| {
            let at = info.filenames.iter().position(|file| Path::new(file).file_name().is_some_and(|f| *f == *name))?;
            Some((split, info, at))
        })
    }

    /// The split of a shard.
    pub fn split_of(&self, path: &Path) -> Option<Split> {
        self.find(path).and_then(|(split, ..)| Split::by_name(split))
    }

    /// The label's key in the shard's JSON.
    pub fn label_key(&self, path: &Path) -> Option<&str> {
        self.find(path).map(|(_, info, _)| info.alt_label.as_str()).filter(|key| !key.is_empty())
    }

    /// Checks the number of a shard's samples.
    pub fn check(&self, path: &Path, found: usize) -> Result<()> {
        match self.find(path).and_then(|(_, info, at)| info.shard_lengths.get(at)) {
            Some(expected) if *expected != found => {
                let expected = format!("{expected} samples, as _info.json says");
                Err(Error::format(path, expected, format!("{found}; fetch the file again")))
            }
            _ => Ok(()),
        }
    }
}

/// The first of these files in the first place that has one: a folder, or what lies beside an address.
fn first_text(places: impl Iterator<Item = PathBuf>, names: &[&str]) -> Result<Option<(PathBuf, String)>> {
    for place in places {
        for name in names {
            let (path, text) = match address(&place) {
                Some(shard) => {
                    let file = beside(shard, name);
                    let text = remote::text(&file)?;
                    (PathBuf::from(file), text)
                }
                None => {
                    let path = place.join(name);
                    let text = path.is_file().then(|| std::fs::read_to_string(&path)).transpose();
                    (path.clone(), text.map_err(Error::io(&path))?)
                }
            };
            if let Some(text) = text {
                return Ok(Some((path, text)));
            }
        }
    }
    Ok(None)
}
