//! JPEG files decoded at 1/2, 1/4 or 1/8 of their size, where what is trained on is smaller still.

use std::sync::Arc;

use image::DynamicImage;

use crate::dataset::Repicture;
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

impl Repicture for Draft {
    fn original(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    fn picture(&self, index: usize) -> Result<DynamicImage> {
        let draft = self.dataset.encoded(index)?.and_then(|bytes| decode_draft(&bytes, self.short_side));
        draft.map_or_else(|| self.dataset.image(index), Ok)
    }

    /// The stored image's, and the scale's: a cache keeps what was decoded at another apart.
    fn picture_stamp(&self, index: usize) -> u64 {
        self.dataset.stamp(index) ^ u64::from(self.short_side).rotate_right(16)
    }
}
