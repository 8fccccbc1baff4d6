//! ResizePad: fits the whole image into a size and pads the rest. Not in torchvision.

use serde::{Deserialize, Serialize};

use super::crop::{Window, crop};
use super::resize::resize;
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Fill, Image8, Interpolation, PaddingMode, Result, Size, SizeParam, Transform};

const NAME: &str = "ResizePad";

/// Resizes the image to the largest size that fits into `size` with its aspect ratio kept, and centres it on `fill`.
///
/// # Source
/// Pillow's `ImageOps.pad`; torchvision has no such op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResizePad {
    /// Side of the square, or `[height, width]`.
    pub size: SizeParam,
    /// The interpolation.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// The colour around the image.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

impl Transform for ResizePad {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.size.validate(NAME)?;
        self.fill.validate(NAME, channels)
    }

    fn output_size(&self, _: Option<Size>) -> Result<Option<Size>> {
        Ok(Some(self.size.to_square()))
    }

    fn is_random(&self) -> bool {
        false
    }

    fn apply(&self, image: Image8, _: &mut Rng) -> Result<Image8> {
        resize_pad(image, self.size.to_square(), self.interpolation, self.fill.levels())
    }
}

/// Resizes the image to fit into `size`, centred on `fill`.
///
/// # Errors
/// As [`resize`](super::resize()).
pub fn resize_pad(image: Image8, size: Size, interpolation: Interpolation, fill: [u8; 3]) -> Result<Image8> {
    let fitted = fit(image.size(), size);
    let image = resize(image, fitted, interpolation)?;
    if fitted == size {
        return Ok(image);
    }
    let start = |wanted: usize, length: usize| -(((wanted - length) as f64 * 0.5).round_ties_even() as i64);
    let window = Window { top: start(size.height, fitted.height), left: start(size.width, fitted.width), size };
    Ok(crop(&image, window, PaddingMode::Constant, fill))
}

/// The largest size with the aspect ratio of `image` that fits into `size`; at least one pixel.
fn fit(image: Size, size: Size) -> Size {
    let (image_ratio, ratio) = (image.width as f64 / image.height as f64, size.width as f64 / size.height as f64);
    if image_ratio > ratio {
        let height = image.height as f64 / image.width as f64 * size.width as f64;
        Size { height: (height.round_ties_even() as usize).clamp(1, size.height), width: size.width }
    } else {
        let width = image_ratio * size.height as f64;
        Size { height: size.height, width: (width.round_ties_even() as usize).clamp(1, size.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_image_fits() {
        let size = |height, width| Size { height, width };
        assert_eq!(fit(size(30, 60), size(20, 20)), size(10, 20));
        assert_eq!(fit(size(60, 30), size(20, 20)), size(20, 10));
        assert_eq!(fit(size(1, 5000), size(20, 20)), size(1, 20));
        assert_eq!(fit(size(7, 7), size(20, 20)), size(20, 20));
    }
}
