//! Weights of any customary file: safetensors, PyTorch's archives, its legacy format.

mod pickle;
mod pytorch;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use crate::error::{Error, Result};
use crate::weights::COUNTER;

/// Prefixes that wrappers put before every name: `DataParallel`, `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// The kind of a file of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.safetensors`.
    Safetensors,
    /// What `torch.save` writes since PyTorch 1.6: `.pth`, `.pt`, `.bin`.
    Torch,
    /// What it wrote before.
    TorchLegacy,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::Torch => "torch.save",
            Format::TorchLegacy => "torch.save before 1.6",
        })
    }
}

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
    /// Reads a file of weights. What it is, its first bytes say, not its name: safetensors, or a file that
    /// `torch.save` wrote (`.pth`, `.pt`, `.bin`), of which no code is run. Of a training program's checkpoint
    /// the averaged weights are taken where there are some: the first of `state_dict_ema`, `model_ema`,
    /// `state_dict`, `model`, `model_state_dict`, or else the dict itself. `module.` and `_orig_mod.` before
    /// names are taken off.
    ///
    /// # Errors
    /// A file that cannot be read, is not of these kinds, is cut off or damaged, or holds no state dict.
    pub fn read(path: &Path) -> Result<StateDict> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let format = sniff(path, &bytes)?;
        let (key, mut entries) = match format {
            Format::Safetensors => (None, read_safetensors(path, &bytes)?),
            Format::Torch => pytorch::read_zip(path, &bytes)?,
            Format::TorchLegacy => pytorch::read_legacy(path, &bytes)?,
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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its kind.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The names: sorted for a safetensors file, which keeps no order, else in the order of the state dict.
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

/// The kind of a file, by its first bytes.
fn sniff(path: &Path, bytes: &[u8]) -> Result<Format> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"PK\x03\x04") {
        return Ok(Format::Torch);
    }
    if starts(pytorch::LEGACY) {
        return Ok(Format::TorchLegacy);
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).trim_start().to_lowercase();
    let found = if bytes.is_empty() {
        "empty; copy or download it again"
    } else if text.starts_with("version https://git-lfs") {
        "a Git LFS pointer, not the file itself; run `git lfs pull` beside it"
    } else if text.starts_with("<!doctype") || text.starts_with("<html") {
        "a web page; download the file itself"
    } else if starts(b"\x89HDF") {
        "an HDF5 file of Keras, which is not read here; convert it to safetensors"
    } else if starts(b"\x80") && matches!(bytes.get(1), Some(2..=5)) && bytes.get(8) != Some(&b'{') {
        "a plain pickle, not of torch.save; save its state dict with torch.save or as safetensors"
    } else if starts(b"\x1f\x8b") {
        "compressed with gzip; unpack it first"
    } else if bytes.get(257..262) == Some(b"ustar") {
        "a tar archive; unpack it first"
    } else {
        return Ok(Format::Safetensors); // which says for itself what is wrong with it
    };
    Err(Error::UnknownFormat { path: path.to_path_buf(), found })
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

/// A floating-point tensor, or one of indices (below 2²⁴, where f32 still counts), in f32.
fn widened(tensor: Tensor) -> Option<Tensor> {
    match tensor.dtype() {
        DType::F32 | DType::F16 | DType::BF16 | DType::F64 | DType::I64 => tensor.to_dtype(DType::F32).ok(),
        _ => None,
    }
}
