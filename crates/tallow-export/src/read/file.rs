//! The tensors of one file.

use std::path::Path;

use candle_core::Device;
use candle_core::safetensors::Load;
use safetensors::SafeTensors;

use super::entry::{Entry, Stored, widened};
use super::format::{Format, detect};
use super::torch_file;
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

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
