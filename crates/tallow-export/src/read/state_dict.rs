//! The tensors of a weights file, by name.

use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::entry::{Entry, Stored};
use super::file::read_file;
use super::format::Format;
use super::shards;
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// PyTorch's counter of training batches in each BatchNorm. It has no effect at momentum 0.1, but PyTorch's strict loading
/// requires it.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// Modules that wrap others without changing what they compute: those of `torch.compile`, FSDP, activation checkpointing and
/// Lightning. They stand anywhere in a name.
const WRAPPERS: [&str; 5] =
    ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_ddp_module"];

/// The module in which `DataParallel` and `AveragedModel` put a network: at the start of names.
const PARALLEL: &str = "module.";

/// The counter beside the averaged weights of `torch.optim.swa_utils.AveragedModel`.
const AVERAGED: &str = "n_averaged";

/// The weights of a file: names and tensors, without `num_batches_tracked`.
#[derive(Debug, Clone)]
pub struct StateDict {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) key: Option<String>,
    pub(crate) entries: Vec<Entry>,
}

impl StateDict {
    /// Reads a weights file: safetensors, or a file of `torch.save` (`.pth`, `.pt`, `.bin`), whose code is not run. The
    /// content decides the format, not the name. An index (`model.safetensors.index.json`), or one of its shards, stands for
    /// all shards.
    ///
    /// From a training checkpoint the state dict is taken, an averaged one if there is one: the first of `state_dict_ema`,
    /// `model_ema`, `state_dict`, `model` and `model_state_dict`, else the dict with the most tensors. Wrappers' names are
    /// removed: `module.` at the start, `_orig_mod` and those of FSDP, checkpointing and Lightning anywhere.
    ///
    /// # Errors
    /// A file that cannot be read, is of another format, is truncated or damaged, or holds no state dict or several; a shard
    /// that is missing.
    pub fn read(path: &Path) -> Result<StateDict> {
        let index = if shards::is_index(path) { Some(path.to_path_buf()) } else { shards::index_beside(path)? };
        let path = index.as_deref().unwrap_or(path);
        let (format, key, mut entries) = match index {
            Some(_) => {
                let (format, entries) = shards::read_shards(path)?;
                (format, None, entries)
            }
            None => read_file(path)?,
        };
        for entry in &mut entries {
            entry.name = unwrapped(&entry.name);
        }
        entries.retain(|entry| entry.name.rsplit('.').next() != Some(COUNTER) && entry.name != AVERAGED);
        let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let found = format!("two tensors named {}", excerpt(pair[0]));
            return Err(Error::NoWeights { path: path.to_path_buf(), found });
        }
        Ok(StateDict { path: path.to_path_buf(), format, key, entries })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format of the file.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The names of the tensors: sorted for a safetensors file, which keeps no order, else in the order of the state dict.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(Entry::shape)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// A tensor's values.
    pub(crate) fn tensor<'a>(&self, entry: &'a Entry) -> Result<&'a Tensor> {
        match &entry.stored {
            Stored::Tensor(tensor) => Ok(tensor),
            Stored::Other { kind, .. } => {
                let (path, name) = (self.path.clone(), excerpt(&entry.name));
                Err(Error::ElementType { path, name, found: kind.clone() })
            }
        }
    }
}

/// A name without the names of wrappers.
fn unwrapped(name: &str) -> String {
    let mut name = name;
    while let Some(bare) =
        name.strip_prefix(PARALLEL).or_else(|| WRAPPERS.iter().find_map(|w| name.strip_prefix(w)?.strip_prefix('.')))
    {
        name = bare;
    }
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    parts.join(".")
}
