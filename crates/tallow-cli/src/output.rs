//! Where results go: the folders of output files are made, and the ending of a name chooses the format.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Makes the folder of an output file.
pub fn make_parent(file: &Path) -> Result<()> {
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display())),
        None => Ok(()),
    }
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A folder with weights in timm's layout.
    Folder,
    /// An ONNX file.
    Onnx,
}

impl Target {
    /// The format that the name of `out` asks for: `.onnx` is a file, a name without ending a folder. An ending is letters and
    /// digits behind the last dot, the first a letter: `v1.2` and timm's `resnet18.a1_in1k` have none.
    pub fn of(out: &Path) -> Result<Self> {
        let text = out.to_string_lossy();
        let ending = out.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let is_ending = |ending: &String| {
            ending.starts_with(|c: char| c.is_ascii_alphabetic()) && ending.chars().all(|c| c.is_ascii_alphanumeric())
        };
        match ending.filter(is_ending).as_deref() {
            _ if text.ends_with(['/', std::path::MAIN_SEPARATOR]) || out.is_dir() => Ok(Self::Folder),
            Some("onnx") => Ok(Self::Onnx),
            None => Ok(Self::Folder),
            Some(ending) => bail!(
                "--out {text}: `.{ending}` is not written: expected FILE.onnx, or a folder for model.safetensors and config.json \
                 ({text}/ for a folder of this name)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_choose_the_format_and_unknown_ones_are_errors() -> Result<()> {
        for (out, target) in [
            ("shoes", Target::Folder),
            ("shoes.onnx", Target::Onnx),
            ("a/shoes.int8.ONNX", Target::Onnx),
            ("runs/v1.2", Target::Folder),
            ("resnet18.a1_in1k", Target::Folder),
            ("x.tflite/", Target::Folder),
        ] {
            assert_eq!(Target::of(out.as_ref())?, target, "{out}");
        }
        for out in ["x.tflite", "x.pt", "x.onxx", "runs/x.safetensors", "x.h5"] {
            let error = Target::of(out.as_ref()).expect_err(out).to_string();
            assert!(error.contains(out) && error.contains(".onnx"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn folders_of_output_files_are_made() -> Result<()> {
        let folder = tempfile::tempdir()?;
        make_parent(&folder.path().join("a/b/c.onnx"))?;
        assert!(folder.path().join("a/b").is_dir());
        make_parent("c.onnx".as_ref())
    }
}
