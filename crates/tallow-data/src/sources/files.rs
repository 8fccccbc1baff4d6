//! Image files read when they are asked for: what folders and manifests become.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use image::DynamicImage;

use crate::{ClassOrder, Dataset, Error, Result, decode};

/// A split of image files.
pub(crate) struct ImageFiles {
    pub root: PathBuf,
    pub class_names: Arc<[String]>,
    /// Below the root, or absolute, with the label of each.
    pub files: Vec<(PathBuf, usize)>,
    pub details: Details,
}

/// What is known of each file beside its label; a list is empty where nothing is.
#[derive(Default)]
pub(crate) struct Details {
    pub targets: Vec<Option<Box<[f32]>>>,
    pub weights: Vec<f32>,
    pub groups: Vec<usize>,
    pub times: Vec<f64>,
    pub multi_label: bool,
}

impl Details {
    /// Drops lists that say no more than the labels do.
    pub fn forget_what_is_plain(&mut self) {
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

    /// Always RGB: whether every file is grey is known only when all were opened.
    fn channels(&self) -> usize {
        3
    }
}

/// A file's length and time of change in one number.
pub(crate) fn stamp_of(path: &Path) -> u64 {
    let Ok(metadata) = path.metadata() else { return 0 };
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    metadata.len().rotate_left(40) ^ changed.map_or(0, |time| time.as_nanos() as u64)
}

/// Sorts and removes what occurs twice.
pub(crate) fn sorted_classes(mut names: Vec<String>, order: ClassOrder) -> Vec<String> {
    match order {
        ClassOrder::Natural => names.sort_by(|a, b| natural(a, b)),
        ClassOrder::Lexical => names.sort(),
    }
    names.dedup();
    names
}

/// "img2" before "img10"; a total order, which `natord` alone is not ("01" and "1").
pub(crate) fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    natord::compare(a, b).then_with(|| a.cmp(b))
}

/// The label of a class by name; `path` is where the name was found.
pub(crate) fn label_of(class: &str, classes: &[String], path: &Path) -> Result<usize> {
    classes.iter().position(|name| name == class).ok_or_else(|| Error::UnknownClass {
        path: path.into(),
        class: class.into(),
        known: classes.to_vec(),
    })
}
