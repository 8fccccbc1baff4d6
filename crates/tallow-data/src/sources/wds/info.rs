//! `_info.json` beside shards: the shards of each split, their numbers of samples, and the class names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::remote::{self, beside};
use crate::complete::refuse_missing;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::options::OpenOptions;
use crate::sources::paths::{Split, address, path_of};

/// The file's names in timm.
const NAMES: [&str; 2] = ["_info.json", "info.json"];
/// Class names, one per line, as beside LAION's shards.
const CLASS_FILE: &str = "classnames.txt";

/// The content of `_info.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Info {
    /// The splits, by name.
    #[serde(default)]
    pub splits: HashMap<String, SplitInfo>,
    /// The class names in the order of the labels. An extension of timm's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
}

/// The shards of a split.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SplitInfo {
    /// The split's name, again.
    pub name: String,
    /// The number of samples.
    pub num_samples: usize,
    /// The shards' file names.
    pub filenames: Vec<String>,
    /// The number of samples in each shard.
    pub shard_lengths: Vec<usize>,
    /// The label's key in each sample's JSON; empty if the label is in the file `cls`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alt_label: String,
}

impl Info {
    /// Reads the file in the folder `first`, beside the first shard, or in `root`; the default if there is none.
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

    /// Checks that all shards of a split are there of which some are. Shards that a spec names one by one are a choice.
    pub fn check_complete(&self, files: &[PathBuf], options: &OpenOptions, findings: &mut Findings) -> Result<()> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let there: HashSet<String> = files.iter().filter_map(name).collect();
        let mut splits: Vec<_> = self.splits.iter().collect();
        splits.sort_by_key(|(name, _)| *name);
        for (_, info) in splits {
            let names = || info.filenames.iter().filter_map(|file| name(&PathBuf::from(file)));
            let missing: Vec<String> = names().filter(|name| !there.contains(name)).collect();
            if missing.len() < info.filenames.len() {
                let path = files.iter().find(|file| name(file).is_some_and(|name| names().any(|of| of == name)));
                refuse_missing(
                    path.map_or(Path::new(""), PathBuf::as_path),
                    missing,
                    info.filenames.len(),
                    options,
                    findings,
                )?;
            }
        }
        Ok(())
    }

    /// The number of samples in all these shards, if known for each.
    pub fn samples(&self, shards: &[PathBuf]) -> Option<usize> {
        let of_shard = |path: &PathBuf| self.find(path).and_then(|(_, info, at)| info.shard_lengths.get(at));
        shards.iter().map(of_shard).sum()
    }

    fn find(&self, path: &Path) -> Option<(&String, &SplitInfo, usize)> {
        let path = address(path).map_or(path, |address| Path::new(path_of(address)));
        let name = path.file_name()?.to_string_lossy();
        self.splits.iter().find_map(|(split, info)| {
            let at = info.filenames.iter().position(|file| Path::new(file).file_name().is_some_and(|f| *f == *name))?;
            Some((split, info, at))
        })
    }

    /// The shards of the training, validation and test split. A shard that is in no split here belongs to the split
    /// that its name below `root` tells, else to training.
    pub fn by_split(&self, files: &[PathBuf], root: &Path) -> [Vec<PathBuf>; 3] {
        let split_of = |path: &PathBuf| {
            self.split_of(path).or_else(|| match address(path) {
                Some(address) => Split::of(Path::new(path_of(address)), Path::new("")),
                None => Split::of(path, root),
            })
        };
        let has_train = files.iter().any(|path| matches!(split_of(path), None | Some(Split::Train)));
        let only = files.first().and_then(split_of);
        let mut splits = [Vec::new(), Vec::new(), Vec::new()];
        for path in files {
            let split = match split_of(path) {
                // A dataset with a single split is trained on, whatever the split's name.
                split if !has_train && split == only => 0,
                None | Some(Split::Train) => 0,
                Some(Split::Validation) => 1,
                Some(Split::Test) => 2,
            };
            splits[split].push(path.clone());
        }
        splits
    }

    /// The split of a shard.
    pub fn split_of(&self, path: &Path) -> Option<Split> {
        self.find(path).and_then(|(split, ..)| Split::by_name(split))
    }

    /// The label's key in the shard's JSON.
    pub fn label_key(&self, path: &Path) -> Option<&str> {
        self.find(path).map(|(_, info, _)| info.alt_label.as_str()).filter(|key| !key.is_empty())
    }

    /// Checks the number of samples in a shard.
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

/// The first of the named files that exists, with its content. A place is a folder, or the address of a shard, which
/// stands for its folder.
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
