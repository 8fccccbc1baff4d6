//! The formats of weights files, recognised by their first bytes.

use std::path::Path;

use crate::error::{Error, Result};

/// The first pickle of the legacy format: the number 0x1950a86a20f9469cfc6c.
pub(super) const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The format of a weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.safetensors`.
    Safetensors,
    /// The zip archive that `torch.save` writes since PyTorch 1.6: `.pth`, `.pt`, `.bin`.
    Torch,
    /// The stream of pickles that `torch.save` wrote before.
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

/// The format of a file, by its first bytes.
///
/// # Errors
/// [`Error::UnknownFormat`] for files of other kinds that are known.
pub(super) fn detect(path: &Path, bytes: &[u8]) -> Result<Format> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"PK\x03\x04") {
        return Ok(Format::Torch);
    }
    if starts(LEGACY) {
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
        "an HDF5 file of Keras, which is not supported; convert it to safetensors"
    } else if starts(b"\x80") && matches!(bytes.get(1), Some(2..=5)) && bytes.get(8) != Some(&b'{') {
        "a plain pickle, not a file of torch.save; save its state dict with torch.save or as safetensors"
    } else if starts(b"\x1f\x8b") {
        "compressed with gzip; unpack it first"
    } else if bytes.get(257..262) == Some(b"ustar") {
        "a tar archive; unpack it first"
    } else {
        return Ok(Format::Safetensors); // Its reader names what is wrong.
    };
    Err(Error::UnknownFormat { path: path.to_path_buf(), found })
}
