//! Where CUDA's libraries are found: by the loader (`LD_LIBRARY_PATH`), in a toolkit, in the packages of PyPI.

use std::path::{Path, PathBuf};

use libloading::Library;

use crate::error::{Error, Result};

/// A library of CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its file names, the newest first.
    pub names: &'static [&'static str],
    /// What has it.
    pub package: &'static str,
    /// The function that returns its version, if it takes no arguments and returns a `size_t`.
    pub version: Option<&'static [u8]>,
}

/// The driver's library, which comes with the driver alone.
pub const DRIVER: Known = Known { names: &["libcuda.so.1"], package: "NVIDIA's driver", version: None };
/// The run-time compiler.
pub const NVRTC: Known = Known {
    names: &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"],
    package: "the CUDA toolkit, and nvidia-cuda-nvrtc of PyPI",
    version: None,
};

/// The libraries that a listing names.
pub const KNOWN: &[Known] = &[
    DRIVER,
    NVRTC,
    Known {
        names: &["libcublasLt.so.13", "libcublasLt.so.12"],
        package: "the CUDA toolkit, and nvidia-cublas of PyPI",
        version: Some(b"cublasLtGetVersion\0"),
    },
    Known { names: &["libcudnn.so.9"], package: "nvidia-cudnn-cu13 of PyPI", version: Some(b"cudnnGetVersion\0") },
];

/// A library that was opened.
pub struct Found {
    /// Where it lies; the name alone if the loader found it.
    pub path: PathBuf,
    /// The open library.
    pub library: Library,
}

/// Opens a library: by the loader's own search, then in the toolkit, then in the packages of PyPI.
///
/// # Errors
/// It is nowhere, or cannot be loaded: the error names it, its package and the places.
pub fn find(known: &Known) -> Result<Found> {
    let mut searched: Vec<PathBuf> = known.names.iter().map(PathBuf::from).collect();
    for folder in folders() {
        searched.extend(known.names.iter().map(|name| folder.join(name)).filter(|path| path.exists()));
    }
    let mut reasons = Vec::new();
    for path in &searched {
        // SAFETY: a library of NVIDIA's, whose initialisation has no demands.
        match unsafe { Library::new(path) } {
            Ok(library) => return Ok(Found { path: path.clone(), library }),
            Err(error) if path.is_absolute() => reasons.push(error.to_string()),
            Err(_) => {}
        }
    }
    let places = folders();
    let advice = match &reasons[..] {
        [] => "Install the package, or set LD_LIBRARY_PATH to the folder of the library.".to_owned(),
        reasons => format!("It does not load: {}.", reasons.join("; ")),
    };
    Err(Error::Library {
        library: known.names[0],
        package: known.package,
        searched: std::iter::once(PathBuf::from("the loader's folders")).chain(places).collect(),
        advice,
    })
}

/// The folders that exist among those of toolkits and of PyPI's packages.
pub fn folders() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let toolkits = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].iter().filter_map(|name| set(name));
    let toolkits: Vec<PathBuf> = toolkits.chain([PathBuf::from("/usr/local/cuda")]).collect();
    let pythons = ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| set(name));
    let own = set("HOME").map(|home| home.join(".local"));
    let pythons: Vec<PathBuf> = pythons.chain(own).chain(["/usr/local", "/usr"].map(PathBuf::from)).collect();
    folders_of(&toolkits, &pythons)
}

/// The library folders of toolkits, then `nvidia/*/lib` of the Python installations.
fn folders_of(toolkits: &[PathBuf], pythons: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for toolkit in toolkits {
        found.extend(["lib64", "lib", "targets/x86_64-linux/lib"].map(|part| toolkit.join(part)));
    }
    for python in pythons.iter().flat_map(|prefix| entries_named(&prefix.join("lib"), "python3")) {
        for packages in ["site-packages", "dist-packages"] {
            found.extend(
                entries_named(&python.join(packages).join("nvidia"), "").into_iter().map(|part| part.join("lib")),
            );
        }
    }
    found.retain(|folder| folder.is_dir());
    found
}

/// What a folder has whose name begins so, sorted; nothing if there is no folder.
pub fn entries_named(folder: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(read) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let mut found: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).filter(named).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolkits_and_packages_are_searched() {
        let root = tempfile::tempdir().unwrap();
        let (toolkit, python) = (root.path().join("cuda"), root.path().join("venv"));
        let wanted = [
            toolkit.join("lib64"),
            python.join("lib/python3.12/site-packages/nvidia/cu13/lib"),
            python.join("lib/python3.12/site-packages/nvidia/cudnn/lib"),
        ];
        for folder in &wanted {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::create_dir_all(python.join("lib/perl/site-packages/nvidia/x/lib")).unwrap();
        assert_eq!(folders_of(&[toolkit], &[python]), wanted);
    }

    #[test]
    fn a_missing_library_is_named_with_its_package() {
        let known = Known { names: &["libnothing-of-that-name.so.7"], package: "the package nothing", version: None };
        let error = find(&known).err().unwrap().to_string();
        for part in ["libnothing-of-that-name.so.7", "the package nothing", "LD_LIBRARY_PATH"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
