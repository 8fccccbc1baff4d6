//! JPEG files decoded at 1/2, 1/4 or 1/8 of their size, where what is trained on is smaller still.

use std::sync::Arc;

use image::DynamicImage;

use crate::decode::decode_draft;
use crate::{Dataset, Error, Result};

/// Another dataset whose JPEG files are decoded at the smallest scale that leaves the short side long enough: as Pillow's
/// `Image.draft` does. Other images are as they were.
pub struct Draft {
    dataset: Arc<dyn Dataset>,
    short_side: u32,
}

impl Draft {
    /// The images of `dataset`, JPEG files no smaller than `short_side` pixels on their short side, unless they are so
    /// anyway.
    ///
    /// # Errors
    /// A side of 0.
    pub fn new(dataset: Arc<dyn Dataset>, short_side: u32) -> Result<Self> {
        match short_side {
            0 => Err(Error::Option { field: "draft", expected: "at least 1".into(), found: "0".into() }),
            _ => Ok(Self { dataset, short_side }),
        }
    }
}

impl Dataset for Draft {
    fn image(&self, index: usize) -> Result<DynamicImage> {
        let draft = self.dataset.encoded(index)?.and_then(|bytes| decode_draft(&bytes, self.short_side));
        draft.map_or_else(|| self.dataset.image(index), Ok)
    }

    /// The stored image's, and the scale's: a cache keeps what was decoded at another apart.
    fn stamp(&self, index: usize) -> u64 {
        self.dataset.stamp(index) ^ u64::from(self.short_side).rotate_right(16)
    }

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn class_names(&self) -> &[String] {
        self.dataset.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.dataset.label(index)
    }

    fn target(&self, index: usize) -> Option<Vec<f32>> {
        self.dataset.target(index)
    }

    fn weight(&self, index: usize) -> f32 {
        self.dataset.weight(index)
    }

    fn is_multi_label(&self) -> bool {
        self.dataset.is_multi_label()
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.dataset.group(index)
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.dataset.time(index)
    }

    fn runs(&self) -> Option<Vec<usize>> {
        self.dataset.runs()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        self.dataset.encoded(index)
    }

    fn id(&self, index: usize) -> String {
        self.dataset.id(index)
    }

    fn channels(&self) -> usize {
        self.dataset.channels()
    }
}
