//! A dataset whose images are converted by a [`PixelRule`].

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use image::DynamicImage;
use tallow_augment::PixelRule;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::wrapper::DatasetWrapper;

/// Another dataset whose 16-bit, float and transparent images are converted to 8-bit pixels.
pub(crate) struct ConvertedPixels {
    dataset: Arc<dyn Dataset>,
    rule: PixelRule,
}

impl ConvertedPixels {
    /// Converts the images of `dataset`.
    pub fn new(dataset: Arc<dyn Dataset>, rule: PixelRule) -> Self {
        Self { dataset, rule }
    }
}

/// Checks the range of the rule's bit depth.
pub(crate) fn check_rule(rule: &PixelRule) -> Result<()> {
    match rule.bit_depth {
        Some(bits) if !PixelRule::BIT_DEPTHS.contains(&bits) => {
            let (low, high) = (PixelRule::BIT_DEPTHS.start(), PixelRule::BIT_DEPTHS.end());
            let expected = format!("from {low} to {high}, the bits that 16-bit images use");
            Err(Error::Option { field: "bit_depth", expected, found: bits.to_string() })
        }
        _ => Ok(()),
    }
}

impl DatasetWrapper for ConvertedPixels {
    fn inner(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    fn wrapper_image(&self, index: usize) -> Result<DynamicImage> {
        Ok(self.rule.apply(self.dataset.image(index)?))
    }

    /// Depends on the rule too, so that a cache keeps images of different rules apart.
    fn wrapper_stamp(&self, index: usize) -> u64 {
        let mut hash = DefaultHasher::new();
        (self.dataset.stamp(index), self.rule).hash(&mut hash);
        hash.finish()
    }
}
