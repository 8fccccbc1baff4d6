//! Image files that are read on demand: the dataset of a folder or a manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use image::DynamicImage;

use crate::dataset::Dataset;
use crate::decode;
use crate::error::{Error, Result};
use crate::options::ClassOrder;

/// A split of image files.
pub(crate) struct ImageFiles {
    pub root: PathBuf,
    pub class_names: Arc<[String]>,
    /// The path of each file, relative to the root or absolute, and its label.
    pub files: Vec<(PathBuf, usize)>,
    pub details: Details,
}

/// Further properties of each file; a list is empty if no file has the property.
#[derive(Default)]
pub(crate) struct Details {
    pub targets: Vec<Option<Box<[f32]>>>,
    pub weights: Vec<f32>,
    pub groups: Vec<usize>,
    pub times: Vec<f64>,
    pub multi_label: bool,
}

impl Details {
    /// Drops lists in which every file has the default.
    pub fn drop_defaults(&mut self) {
        if self.targets.iter().all(Option::is_none) {
            self.targets = Vec::new();
        }
        if self.weights.iter().all(|weight| *weight == 1.0) {
            self.weights = Vec::new();
        }
    }
}

impl Dataset for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].1
    }

    fn target(&self, index: usize) -> Option<Vec<f32>> {
        self.details.targets.get(index)?.as_ref().map(|target| target.to_vec())
    }

    fn weight(&self, index: usize) -> f32 {
        self.details.weights.get(index).copied().unwrap_or(1.0)
    }

    fn is_multi_label(&self) -> bool {
        self.details.multi_label
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.details.groups.get(index).copied()
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.details.times.get(index).copied()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        decode::read_file(&self.root.join(&self.files[index].0)).map(Some)
    }

    fn stamp(&self, index: usize) -> u64 {
        stamp_of(&self.root.join(&self.files[index].0))
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        decode::decode_file(&self.root.join(&self.files[index].0))
    }

    fn id(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }

    /// Always RGB: files are not opened to find out whether all are grey.
    fn channels(&self) -> usize {
        3
    }
}

/// A file's length and modification time in one number.
pub(crate) fn stamp_of(path: &Path) -> u64 {
    let Ok(metadata) = path.metadata() else { return 0 };
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    metadata.len().rotate_left(40) ^ changed.map_or(0, |time| time.as_nanos() as u64)
}

/// The distinct names, sorted.
pub(crate) fn sorted_classes(mut names: Vec<String>, order: ClassOrder) -> Vec<String> {
    match order {
        ClassOrder::Natural => names.sort_by(|a, b| natural(a, b)),
        ClassOrder::Lexical => names.sort(),
    }
    names.dedup();
    names
}

/// Natural order: "img2" before "img10". A total order, unlike `natord` alone ("01" and "1").
pub(crate) fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    natord::compare(a, b).then_with(|| a.cmp(b))
}

/// The label of a class name; `path` is the file or folder that holds it, for messages.
pub(crate) fn label_of(class: &str, classes: &[String], path: &Path) -> Result<usize> {
    classes.iter().position(|name| name == class).ok_or_else(|| Error::UnknownClass {
        path: path.into(),
        class: class.into(),
        known: classes.to_vec(),
    })
}
