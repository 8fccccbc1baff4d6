//! JPEG files decoded at 1/2, 1/4 or 1/8 scale, which is faster than decoding them whole and resizing.

use std::sync::Arc;

use image::DynamicImage;

use crate::dataset::Dataset;
use crate::decode::decode_scaled_jpeg;
use crate::error::{Error, Result};
use crate::wrapper::DatasetWrapper;

/// Another dataset whose JPEG files are decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which their short
/// side has at least a given number of pixels, as Pillow's `Image.draft` does. Other images are unchanged.
pub struct ScaledJpeg {
    dataset: Arc<dyn Dataset>,
    short_side: u32,
}

impl ScaledJpeg {
    /// Decodes the JPEG files of `dataset` with at least `short_side` pixels on their short side; smaller files at full
    /// size.
    ///
    /// # Errors
    /// `short_side` is 0.
    pub fn new(dataset: Arc<dyn Dataset>, short_side: u32) -> Result<Self> {
        match short_side {
            0 => Err(Error::Option { field: "draft", expected: "at least 1".into(), found: "0".into() }),
            _ => Ok(Self { dataset, short_side }),
        }
    }
}

impl DatasetWrapper for ScaledJpeg {
    fn inner(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    fn wrapper_image(&self, index: usize) -> Result<DynamicImage> {
        let scaled = self.dataset.encoded(index)?.and_then(|bytes| decode_scaled_jpeg(&bytes, self.short_side));
        scaled.map_or_else(|| self.dataset.image(index), Ok)
    }

    /// Depends on the scale too, so that a cache keeps images of different scales apart.
    fn wrapper_stamp(&self, index: usize) -> u64 {
        self.dataset.stamp(index) ^ u64::from(self.short_side).rotate_right(16)
    }
}
