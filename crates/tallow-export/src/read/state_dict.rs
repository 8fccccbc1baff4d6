//! The tensors of a weights file, by name.

use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use super::format::{Format, detect};
use super::torch_file;
use crate::error::{Error, Result};

/// PyTorch's counter of training batches in each BatchNorm. It has no effect at momentum 0.1, but PyTorch's strict loading
/// requires it.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// Prefixes that `DataParallel` and `torch.compile` put before every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

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
    /// content decides the format, not the name. From a training checkpoint the state dict is taken, an averaged one if
    /// there is one: the first of `state_dict_ema`, `model_ema`, `state_dict`, `model` and `model_state_dict`, else the
    /// dict itself. The prefixes `module.` and `_orig_mod.` are removed from names.
    ///
    /// # Errors
    /// A file that cannot be read, is of another format, is truncated or damaged, or holds no state dict.
    pub fn read(path: &Path) -> Result<StateDict> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let format = detect(path, &bytes)?;
        let (key, mut entries) = match format {
            Format::Safetensors => (None, read_safetensors(path, &bytes)?),
            Format::Torch => torch_file::read_zip(path, &bytes)?,
            Format::TorchLegacy => torch_file::read_legacy(path, &bytes)?,
        };
        for entry in &mut entries {
            while let Some(bare) = WRAPPERS.iter().find_map(|wrapper| entry.name.strip_prefix(wrapper)) {
                entry.name = bare.to_string();
            }
        }
        entries.retain(|entry| entry.name.rsplit('.').next() != Some(COUNTER));
        let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let found = format!("two tensors named {}", pair[0]);
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
                let (path, name) = (self.path.clone(), entry.name.clone());
                Err(Error::ElementType { path, name, found: kind.clone() })
            }
        }
    }
}

fn read_safetensors(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| Error::Corrupt { path: path.to_path_buf(), reason: e.to_string() })?;
    let mut entries = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        let loaded = view.load(&Device::Cpu).ok().and_then(widened);
        let other = || Stored::Other { kind: format!("{:?}", view.dtype()), shape: view.shape().to_vec() };
        entries.push(Entry { name: name.to_string(), stored: loaded.map_or_else(other, Stored::Tensor) });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// A floating-point tensor, or one of indices (exact in f32 below 2²⁴), in f32.
pub(super) fn widened(tensor: Tensor) -> Option<Tensor> {
    match tensor.dtype() {
        DType::F32 | DType::F16 | DType::BF16 | DType::F64 | DType::I64 => tensor.to_dtype(DType::F32).ok(),
        _ => None,
    }
}
