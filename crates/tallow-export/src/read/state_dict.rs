//! The tensors of a weights file, by name.

use std::path::{Path, PathBuf};

use crate::excerpt::excerpt;
use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use super::format::{Format, detect};
use super::{shards, torch_file};
use crate::error::{Error, Result};

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

/// A named tensor of a file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub name: String,
    pub stored: Stored,
}

#[derive(Debug, Clone)]
pub(crate) enum Stored {
    /// Floating point, widened to f32.
    Tensor(Tensor),
    /// Of another type.
    Other { kind: String, shape: Vec<usize> },
}

impl Entry {
    pub fn shape(&self) -> &[usize] {
        match &self.stored {
            Stored::Tensor(tensor) => tensor.dims(),
            Stored::Other { shape, .. } => shape,
        }
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.shape().iter().fold(1, |count, &n| count.saturating_mul(n))
    }
}

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

/// The format and the tensors of one file, under the names in it; the key of its state dict.
pub(super) fn read_file(path: &Path) -> Result<(Format, Option<String>, Vec<Entry>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let format = detect(path, &bytes)?;
    let (key, entries) = match format {
        Format::Safetensors => (None, read_safetensors(path, &bytes)?),
        Format::Torch => torch_file::read_zip(path, &bytes)?,
        Format::TorchLegacy => torch_file::read_legacy(path, &bytes)?,
    };
    Ok((format, key, entries))
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

fn read_safetensors(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| Error::Corrupt { path: path.to_path_buf(), reason: excerpt(&e.to_string()) })?;
    let mut entries = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        let loaded = view.load(&Device::Cpu).ok().and_then(widened);
        let other = || Stored::Other { kind: format!("{:?}", view.dtype()), shape: view.shape().to_vec() };
        entries.push(Entry { name: name.to_string(), stored: loaded.map_or_else(other, Stored::Tensor) });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Whether a file's tensors of this type are read in f32: those of floating-point numbers and of indices (exact below 2²⁴).
pub(super) fn is_widened(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16 | DType::F64 | DType::I64)
}

/// A tensor in f32.
pub(super) fn widened(tensor: Tensor) -> Option<Tensor> {
    is_widened(tensor.dtype()).then(|| tensor.to_dtype(DType::F32).ok()).flatten()
}
