//! RandomCrop: crops a window at a random position of the padded image.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::crop::{Window, crop};
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Error, Fill, Image8, Padding, PaddingMode, Result, Size, SizeParam, Transform};

const NAME: &str = "RandomCrop";

/// Crops a window of `size` at a uniformly drawn position of the image with `padding` around it.
///
/// # Source
/// torchvision `v2.RandomCrop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// Side of the square, or `[height, width]`.
    pub size: SizeParam,
    /// The padding around the image, in pixels.
    #[serde(default)]
    pub padding: Padding,
    /// Whether an image that is smaller than `size`, padding included, is padded further. Otherwise it is an error.
    #[serde(default)]
    pub pad_if_needed: bool,
    /// The colour of the padding.
    #[serde(default)]
    pub fill: Fill,
    /// The content of the padding.
    #[serde(default)]
    pub padding_mode: PaddingMode,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

impl RandomCrop {
    /// A crop of `size` with black padding of `padding` pixels on all sides.
    pub fn new(size: usize, padding: usize) -> Self {
        Self {
            size: SizeParam::One(size),
            padding: Padding::All(padding),
            pad_if_needed: false,
            fill: Fill::default(),
            padding_mode: PaddingMode::Constant,
            p: 1.0,
        }
    }

    /// The padding before and after (left and right, or top and bottom) that makes the image large enough for the crop.
    fn room(&self, length: usize, wanted: usize, before: usize, after: usize) -> (usize, usize) {
        let missing = wanted.saturating_sub(length + before + after);
        if self.pad_if_needed { (before + missing, after + missing) } else { (before, after) }
    }

    /// The left, top, right and bottom padding for an image of this size.
    fn padding_for(&self, image: Size) -> Result<[usize; 4]> {
        let crop = self.size.to_square();
        let [left, top, right, bottom] = self.padding.sides();
        let (left, right) = self.room(image.width, crop.width, left, right);
        let (top, bottom) = self.room(image.height, crop.height, top, bottom);
        let padded = Size { height: image.height + top + bottom, width: image.width + left + right };
        if padded.height < crop.height || padded.width < crop.width {
            return Err(Error::CropTooLarge { op: NAME, crop, image: padded });
        }
        Ok([left, top, right, bottom])
    }

    /// Draws a window uniformly among all in the padded image.
    fn draw(&self, image: Size, rng: &mut Rng) -> Result<Window> {
        let [left, top, right, bottom] = self.padding_for(image)?;
        let size = self.size.to_square();
        Ok(Window {
            top: rng.random_range(0..=image.height + top + bottom - size.height) as i64 - top as i64,
            left: rng.random_range(0..=image.width + left + right - size.width) as i64 - left as i64,
            size,
        })
    }
}

impl Transform for RandomCrop {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.size.validate(NAME)?;
        self.padding.validate(NAME)?;
        self.fill.validate(NAME, channels)
    }

    fn output_size(&self, input: Option<Size>) -> Result<Option<Size>> {
        input.map(|size| self.padding_for(size)).transpose()?;
        Ok(Some(self.size.to_square()))
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let window = self.draw(image.size(), rng)?;
        if window.top == 0 && window.left == 0 && window.size == image.size() {
            return Ok(image);
        }
        Ok(crop(&image, window, self.padding_mode, self.fill.levels()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn every_place_is_equally_likely() {
        let op = RandomCrop::new(28, 2);
        let mut rng = keyed(7, 0, 0, 0);
        let mut counts = [[0; 5]; 5];
        for _ in 0..25_000 {
            let window = op.draw(Size { height: 28, width: 28 }, &mut rng).unwrap();
            counts[(window.top + 2) as usize][(window.left + 2) as usize] += 1;
        }
        // 1000 expected, standard deviation 31.
        assert!(counts.iter().flatten().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_crop_that_does_not_fit_is_refused_or_padded() {
        let mut op = RandomCrop::new(32, 1);
        let small = Size { height: 28, width: 40 };
        assert!(matches!(op.output_size(Some(small)), Err(Error::CropTooLarge { .. })));
        assert!(op.draw(small, &mut keyed(0, 0, 0, 0)).is_err());
        op.pad_if_needed = true;
        for sample in 0..50 {
            let window = op.draw(small, &mut keyed(0, 0, sample, 0)).unwrap();
            assert!((-3..=-1).contains(&window.top) && (-1..=9).contains(&window.left), "{window:?}");
        }
    }
}
