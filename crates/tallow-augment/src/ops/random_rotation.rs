//! RandomRotation: rotates the image about its centre by a random angle.

use serde::{Deserialize, Serialize};

use super::affine::{AffineMatrix, affine};
use crate::params::{always, validate_p};
use crate::rng::{Rng, uniform};
use crate::{Error, Fill, Image8, Interpolation, Range, Result, Transform};

const NAME: &str = "RandomRotation";

/// Rotates the image by a uniformly drawn angle. Keeps the size; corners are cut off.
///
/// # Source
/// torchvision `v2.RandomRotation` on Pillow images, with `expand=False`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomRotation {
    /// The rotation in degrees counter-clockwise: `x` for `[-x, x]`, or `[low, high]`.
    pub degrees: Range,
    /// The interpolation: nearest, bilinear or bicubic.
    #[serde(default = "nearest")]
    pub interpolation: Interpolation,
    /// The colour of uncovered pixels.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

/// Serde default: torchvision's.
pub(super) fn nearest() -> Interpolation {
    Interpolation::Nearest
}

/// The allowed angles.
pub(super) const ANGLES: [f64; 2] = [-360.0, 360.0];

/// Refuses Lanczos, which is for resizing only.
pub(super) fn validate_interpolation(op: &'static str, interpolation: Interpolation) -> Result<()> {
    if interpolation != Interpolation::Lanczos {
        return Ok(());
    }
    let expected = "nearest, bilinear or bicubic".into();
    Err(Error::BadValue { op, field: "interpolation", expected, found: "lanczos".into() })
}

impl RandomRotation {
    fn draw(&self, rng: &mut Rng) -> f64 {
        let [low, high] = self.degrees.bounds(0.0, ANGLES[0]);
        uniform(rng, low, high)
    }
}

impl Transform for RandomRotation {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.degrees.validate(NAME, "degrees", 0.0, ANGLES)?;
        validate_interpolation(NAME, self.interpolation)?;
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        Ok(rotate(&image, self.draw(rng), self.interpolation, self.fill.levels()))
    }
}

/// Rotates the image by `angle` degrees counter-clockwise about its centre. Keeps the size.
///
/// # Source
/// torchvision `F.rotate` on Pillow images.
pub fn rotate(image: &Image8, angle: f64, interpolation: Interpolation, fill: [u8; 3]) -> Image8 {
    affine(image, &AffineMatrix::rotation(angle, image.size()), interpolation, fill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn angles_are_uniform() {
        let op: RandomRotation = serde_json::from_str(r#"{ "degrees": [-10, 30] }"#).unwrap();
        let mut rng = keyed(3, 0, 0, 0);
        let mut quarters = [0; 4];
        for _ in 0..4000 {
            let angle = op.draw(&mut rng);
            assert!((-10.0..30.0).contains(&angle));
            quarters[((angle + 10.0) / 10.0) as usize] += 1;
        }
        assert!(quarters.iter().all(|n| (880..1120).contains(n)), "{quarters:?}");
    }
}
