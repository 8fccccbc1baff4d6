//! ElasticTransform: displaces every pixel by a smooth random field.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::gaussian_blur::convolve;
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Error, Fill, Image8, Interpolation, Result, Size, Transform};

const NAME: &str = "ElasticTransform";

/// Displaces every pixel by a random field that is smoothed by a Gaussian. Keeps the size.
///
/// # Source
/// Simard et al. 2003; torchvision `v2.ElasticTransform`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ElasticTransform {
    /// The strength: a number, or `[x, y]`. Before smoothing, a pixel is displaced by up to half of it.
    #[serde(default = "default_alpha")]
    pub alpha: Both,
    /// The standard deviation of the smoothing in pixels, 0 to 100: a number, or `[x, y]`.
    #[serde(default = "default_sigma")]
    pub sigma: Both,
    /// The interpolation: nearest or bilinear.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// The colour of uncovered pixels.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_alpha() -> Both {
    Both::One(50.0)
}

fn default_sigma() -> Both {
    Both::One(5.0)
}

/// A number for both directions, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number or [x, y]")]
pub enum Both {
    /// The same along both axes.
    One(f64),
    /// Along x and along y.
    Each([f64; 2]),
}

impl Both {
    /// Along x and along y.
    pub fn values(self) -> [f64; 2] {
        match self {
            Self::One(value) => [value; 2],
            Self::Each(values) => values,
        }
    }
}

impl Transform for ElasticTransform {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        for (field, values, most) in [("alpha", self.alpha.values(), 1e5), ("sigma", self.sigma.values(), 100.0)] {
            if !values.iter().all(|value| (0.0..=most).contains(value)) {
                let (expected, found) = (format!("from 0 to {most}"), format!("{values:?}"));
                return Err(Error::BadValue { op: NAME, field, expected, found });
            }
        }
        if !matches!(self.interpolation, Interpolation::Nearest | Interpolation::Bilinear) {
            let found = format!("{:?}", self.interpolation).to_lowercase();
            let expected = "nearest or bilinear".into();
            return Err(Error::BadValue { op: NAME, field: "interpolation", expected, found });
        }
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let shift = displacement(image.size(), self.alpha.values(), self.sigma.values(), || rng.random());
        Ok(elastic(&image, &shift, self.interpolation, self.fill.levels()))
    }
}

/// The displacement of each pixel along x and y, in pixels, from uniform draws in 0..1 (all for x, then all for y).
///
/// # Source
/// torchvision `v2.ElasticTransform`, whose unit is half the side of the image.
pub fn displacement(size: Size, alpha: [f64; 2], sigma: [f64; 2], mut uniform: impl FnMut() -> f32) -> [Vec<f32>; 2] {
    [0, 1].map(|axis| {
        let noise: Vec<f32> = (0..size.pixels()).map(|_| uniform() * 2.0 - 1.0).collect();
        let smooth = if sigma[axis] > 0.0 {
            // As torchvision: both standard deviations in either direction, the kernel's size from this one.
            let kernel = (8.0 * sigma[axis] + 1.0) as usize | 1;
            convolve(&noise, size, 1, [kernel; 2], sigma.map(|sigma| sigma.max(1e-6)))
        } else {
            noise
        };
        smooth.into_iter().map(|value| value * (alpha[axis] / 2.0) as f32).collect()
    })
}

/// Samples the image at `(x, y) + displacement` for every pixel (x, y). Every interpolation but `Nearest` is bilinear.
///
/// # Source
/// torchvision `F.elastic`.
pub fn elastic(image: &Image8, displacement: &[Vec<f32>; 2], interpolation: Interpolation, fill: [u8; 3]) -> Image8 {
    let Size { height, width } = image.size();
    let channels = image.channels();
    let mut data = Vec::with_capacity(image.data().len());
    for (at, (dx, dy)) in displacement[0].iter().zip(&displacement[1]).enumerate().take(image.size().pixels()) {
        let (x, y) = ((at % width) as f32 + dx, (at / width) as f32 + dy);
        let pixel = |x: f32, y: f32| {
            let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
            inside.then(|| &image.data()[(y as usize * width + x as usize) * channels..][..channels])
        };
        if interpolation == Interpolation::Nearest {
            data.extend_from_slice(pixel(x.round_ties_even(), y.round_ties_even()).unwrap_or(&fill[..channels]));
            continue;
        }
        let (left, top) = (x.floor(), y.floor());
        let (right_part, lower_part) = (x - left, y - top);
        let corners = [
            (pixel(left, top), (1.0 - right_part) * (1.0 - lower_part)),
            (pixel(left + 1.0, top), right_part * (1.0 - lower_part)),
            (pixel(left, top + 1.0), (1.0 - right_part) * lower_part),
            (pixel(left + 1.0, top + 1.0), right_part * lower_part),
        ];
        let covered: f32 = corners.iter().filter(|(pixel, _)| pixel.is_some()).map(|(_, weight)| weight).sum();
        for (channel, fill) in fill[..channels].iter().enumerate() {
            let part = |(pixel, weight): &(Option<&[u8]>, f32)| pixel.map_or(0.0, |p| f32::from(p[channel]) * weight);
            let value: f32 = corners.iter().map(part).sum();
            // Pixels outside count as black before the fill is blended in, as in torchvision.
            data.push(((value - f32::from(*fill)) * covered + f32::from(*fill)).round_ties_even() as u8);
        }
    }
    Image8::from_parts(image.size(), channels, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn no_strength_changes_nothing_and_odd_sizes_go_through() {
        let still: ElasticTransform = serde_json::from_str(r#"{ "alpha": 0 }"#).unwrap();
        let strong: ElasticTransform = serde_json::from_str(r#"{ "alpha": [900, 9], "sigma": [4, 0] }"#).unwrap();
        for (height, width) in [(1, 1), (3, 40), (17, 9)] {
            let data: Vec<u8> = (0..height * width * 3).map(|v| v as u8).collect();
            let image = Image8::new(Size { height, width }, 3, data).unwrap();
            assert_eq!(still.apply(image.clone(), &mut keyed(0, 0, 0, 0)).unwrap(), image);
            assert_eq!(strong.apply(image.clone(), &mut keyed(0, 0, 0, 0)).unwrap().size(), image.size());
        }
    }
}
