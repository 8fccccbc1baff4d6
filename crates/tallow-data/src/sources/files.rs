//! Image files read when they are asked for: what folders and manifests become.

use std::path::PathBuf;
use std::sync::Arc;

use image::DynamicImage;

use crate::{ClassOrder, Dataset, Error, Result, decode};

/// A split of image files.
pub(crate) struct ImageFiles {
    pub root: PathBuf,
    pub class_names: Arc<[String]>,
    /// Below the root, or absolute, with the label of each.
    pub files: Vec<(PathBuf, usize)>,
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
pub(crate) fn label_of(class: &str, classes: &[String], path: &std::path::Path) -> Result<usize> {
    classes.iter().position(|name| name == class).ok_or_else(|| Error::UnknownClass {
        path: path.into(),
        class: class.into(),
        known: classes.to_vec(),
    })
}
