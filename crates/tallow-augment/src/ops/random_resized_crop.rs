//! RandomResizedCrop: crops a random part of the image and resizes it.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::crop::{Window, crop, draw_sides};
use super::resize::resize;
use crate::params::{always, validate_p, validate_positive};
use crate::rng::Rng;
use crate::{Image8, Interpolation, InterpolationChoice, PaddingMode, Result, Size, SizeParam, Transform};

const NAME: &str = "RandomResizedCrop";

/// Crops a window of random position, area and aspect ratio and resizes it to `size`.
///
/// # Source
/// torchvision `v2.RandomResizedCrop` with `antialias=True`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// Side of the square, or `[height, width]`.
    pub size: SizeParam,
    /// The area of the window as a fraction of the image's, `[low, high]`.
    #[serde(default = "default_scale")]
    pub scale: [f64; 2],
    /// The aspect ratio (width / height) of the window, `[low, high]`, drawn uniformly in the logarithm.
    #[serde(default = "default_ratio")]
    pub ratio: [f64; 2],
    /// The interpolation; `"random"` draws bilinear or bicubic for each image, as timm does.
    #[serde(default)]
    pub interpolation: InterpolationChoice,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_scale() -> [f64; 2] {
    [0.08, 1.0]
}

fn default_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

impl RandomResizedCrop {
    /// Draws a window in the image; after ten failed draws, the largest central one with an allowed aspect ratio.
    fn draw(&self, image: Size, rng: &mut Rng) -> Window {
        for _ in 0..10 {
            let (width, height) = draw_sides(image, self.scale, self.ratio, rng);
            if (1..=image.width).contains(&width) && (1..=image.height).contains(&height) {
                return Window {
                    top: rng.random_range(0..=image.height - height) as i64,
                    left: rng.random_range(0..=image.width - width) as i64,
                    size: Size { height, width },
                };
            }
        }
        self.central(image)
    }

    fn central(&self, image: Size) -> Window {
        let Size { height, width } = image;
        let [narrowest, widest] = self.ratio;
        let ratio = width as f64 / height as f64;
        let side = |length: f64, most: usize| (length.round_ties_even() as usize).clamp(1, most);
        let size = if ratio < narrowest {
            Size { height: side(width as f64 / narrowest, height), width }
        } else if ratio > widest {
            Size { height, width: side(height as f64 * widest, width) }
        } else {
            image
        };
        Window { top: ((height - size.height) / 2) as i64, left: ((width - size.width) / 2) as i64, size }
    }
}

impl Transform for RandomResizedCrop {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.size.validate(NAME)?;
        validate_positive(NAME, "scale", self.scale, 1.0)?;
        validate_positive(NAME, "ratio", self.ratio, f64::INFINITY)
    }

    fn output_size(&self, _: Option<Size>) -> Result<Option<Size>> {
        Ok(Some(self.size.to_square()))
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let window = self.draw(image.size(), rng);
        resized_crop(image, window, self.size.to_square(), self.interpolation.draw(rng))
    }
}

/// Crops `window`, which should lie in the image, and resizes it to `size`.
///
/// # Errors
/// As [`resize`](super::resize()).
pub fn resized_crop(image: Image8, window: Window, size: Size, interpolation: Interpolation) -> Result<Image8> {
    // Cropped first, so that pixels outside the window do not affect the result.
    let whole = window.top == 0 && window.left == 0 && window.size == image.size();
    let part = if whole { image } else { crop(&image, window, PaddingMode::Constant, [0; 3]) };
    resize(part, size, interpolation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn windows_lie_inside_with_areas_and_ratios_in_range() {
        let op: RandomResizedCrop = serde_json::from_str(r#"{ "size": 32 }"#).unwrap();
        let image = Size { height: 300, width: 400 };
        let mut areas = 0.0;
        for sample in 0..2000 {
            let window = op.draw(image, &mut keyed(0, 0, sample, 0));
            let Size { height, width } = window.size;
            let area = (height * width) as f64 / image.pixels() as f64;
            let ratio = width as f64 / height as f64;
            assert!((0.079..=1.0).contains(&area) && (0.74..1.35).contains(&ratio), "{window:?}");
            assert!(window.top >= 0 && window.top as usize + height <= 300);
            assert!(window.left >= 0 && window.left as usize + width <= 400);
            areas += area;
        }
        // Below 0.54, the middle of the range, because large windows do not always fit.
        assert!((0.44..0.54).contains(&(areas / 2000.0)), "{areas}");
    }

    #[test]
    fn thin_images_fall_back_to_the_middle() {
        let op: RandomResizedCrop = serde_json::from_str(r#"{ "size": 8, "scale": [0.9, 1.0] }"#).unwrap();
        let window = op.draw(Size { height: 3, width: 100 }, &mut keyed(0, 0, 0, 0));
        assert_eq!(window, Window { top: 0, left: 48, size: Size { height: 3, width: 4 } });
        let window = op.draw(Size { height: 1, width: 1 }, &mut keyed(0, 0, 0, 0));
        assert_eq!(window.size, Size { height: 1, width: 1 });
    }
}
