//! Finds the image that a manifest names: as it is written, with slashes for back slashes, or with its extension.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::decode;

/// The result of a search.
pub(super) enum Found {
    /// The path, below the root of the dataset or absolute.
    At(PathBuf),
    Missing,
    /// The names of several files that differ in their extension alone.
    Several(Vec<String>),
}

/// Finds the images of one manifest.
pub(super) struct FileFinder<'a> {
    root: &'a Path,
    /// The folder of the manifest below the root.
    folder: PathBuf,
    /// The image files of the folders that have been listed, by their name without extension.
    listed: HashMap<PathBuf, HashMap<String, Vec<String>>>,
    completed: usize,
    turned: usize,
}

impl<'a> FileFinder<'a> {
    /// A finder for a manifest in `folder`.
    pub fn new(root: &'a Path, folder: &Path) -> Self {
        let folder = folder.strip_prefix(root).unwrap_or(folder).to_path_buf();
        Self { root, folder, listed: HashMap::new(), completed: 0, turned: 0 }
    }

    /// The file that `text` names.
    pub fn find(&mut self, text: &str) -> Found {
        let path = self.folder.join(text);
        if self.root.join(&path).is_file() {
            return Found::At(path);
        }
        let turned = text.replace('\\', "/");
        let path = self.folder.join(&turned);
        if turned != text && self.root.join(&path).is_file() {
            self.turned += 1;
            return Found::At(path);
        }
        if decode::has_image_extension(&path) {
            return Found::Missing;
        }
        let (Some(folder), Some(stem)) = (path.parent(), path.file_name()) else { return Found::Missing };
        let files = self.listed.entry(folder.to_path_buf()).or_insert_with(|| images_by_stem(&self.root.join(folder)));
        match files.get(stem.to_string_lossy().as_ref()).map(Vec::as_slice) {
            None => Found::Missing,
            Some([name]) => {
                self.completed += 1;
                self.turned += usize::from(turned != text);
                Found::At(folder.join(name))
            }
            Some(names) => Found::Several(names.to_vec()),
        }
    }

    /// What was changed in the paths.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.completed > 0 {
            sentences.push(format!("{} paths have no extension: the image with this name was taken", self.completed));
        }
        if self.turned > 0 {
            sentences.push(format!("{} paths have back slashes, which were read as slashes", self.turned));
        }
        sentences
    }
}

/// The names of the image files in a folder by their name without extension.
fn images_by_stem(folder: &Path) -> HashMap<String, Vec<String>> {
    let mut files: HashMap<String, Vec<String>> = HashMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let (true, Some(stem)) = (decode::has_image_extension(&path), path.file_stem()) {
            let names = files.entry(stem.to_string_lossy().into_owned()).or_default();
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    files.values_mut().for_each(|names| names.sort());
    files
}
