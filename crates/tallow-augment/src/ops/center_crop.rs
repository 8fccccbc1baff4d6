//! CenterCrop: crops the centre of an image.

use serde::{Deserialize, Serialize};

use super::crop::{Window, crop};
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Image8, PaddingMode, Result, Size, SizeParam, Transform};

const NAME: &str = "CenterCrop";

/// Crops the centre of the image. A smaller image is padded with black.
///
/// # Source
/// torchvision `v2.CenterCrop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// Side of the square, or `[height, width]`.
    pub size: SizeParam,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

impl Transform for CenterCrop {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.size.validate(NAME)
    }

    fn output_size(&self, _: Option<Size>) -> Result<Option<Size>> {
        Ok(Some(self.size.to_square()))
    }

    fn is_random(&self) -> bool {
        false
    }

    fn apply(&self, image: Image8, _: &mut Rng) -> Result<Image8> {
        let size = self.size.to_square();
        Ok(if image.size() == size { image } else { center_crop(&image, size) })
    }
}

/// The centre of the image, padded with black if the image is smaller than `size`.
pub fn center_crop(image: &Image8, size: Size) -> Image8 {
    let window = Window { top: start(image.height(), size.height), left: start(image.width(), size.width), size };
    crop(image, window, PaddingMode::Constant, [0; 3])
}

/// The first of `wanted` pixels in the centre of `length`. As in torchvision, halves are rounded to even when the image
/// is cropped, and up when it is padded.
fn start(length: usize, wanted: usize) -> i64 {
    if length >= wanted {
        ((length - wanted) as f64 / 2.0).round_ties_even() as i64
    } else {
        -(((wanted - length) / 2) as i64)
    }
}
