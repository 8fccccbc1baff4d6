//! RandomErasing: overwrites a random rectangle of the normalised image.

use rand::Rng as _;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::crop::draw_sides;
use crate::params::{half, validate_p, validate_positive};
use crate::rng::Rng;
use crate::{Error, NormalizedImage, NormalizedTransform, Result, Size};

const NAME: &str = "RandomErasing";

/// Overwrites a rectangle of random position, area and aspect ratio in normalised pixels, where 0 is the mean colour.
///
/// # Source
/// Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>; torchvision `v2.RandomErasing`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomErasing {
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
    /// The area as a fraction of the image's, `[low, high]`.
    #[serde(default = "default_scale")]
    pub scale: [f64; 2],
    /// The aspect ratio (height / width), `[low, high]`, drawn uniformly in the logarithm.
    #[serde(default = "default_ratio")]
    pub ratio: [f64; 2],
    /// The written values: a number, one per channel, or `"random"`.
    #[serde(default)]
    pub value: EraseValue,
    /// timm's mode: `"const"` (`value`), `"rand"` (a random colour) or `"pixel"` (random values).
    #[serde(default)]
    pub mode: EraseMode,
    /// The smallest and largest number of rectangles per image; they share the area.
    #[serde(default = "one")]
    pub count: [usize; 2],
}

fn one() -> [usize; 2] {
    [1, 1]
}

/// The source of an erased rectangle's values, with timm's names. Random values are standard normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EraseMode {
    /// [`RandomErasing::value`].
    #[default]
    Const,
    /// One random value per channel.
    Rand,
    /// A random value for every pixel and channel.
    Pixel,
}

fn default_scale() -> [f64; 2] {
    [0.02, 0.33]
}

fn default_ratio() -> [f64; 2] {
    [0.3, 3.3]
}

/// The values of an erased rectangle, in normalised units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number, a list of one per channel, or \"random\"")]
pub enum EraseValue {
    /// One number.
    All(f32),
    /// A number for each channel.
    Each(Vec<f32>),
    /// Random values from the standard normal distribution.
    Named(NamedValue),
}

/// An [`EraseValue`] that is given by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NamedValue {
    /// Each value is drawn from the standard normal distribution.
    Random,
}

impl Default for EraseValue {
    fn default() -> Self {
        Self::All(0.0)
    }
}

/// A rectangle in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Height and width.
    pub size: Size,
}

impl RandomErasing {
    /// Draws a rectangle that is smaller than the image on both sides; `None` after ten failed draws.
    fn draw(&self, image: Size, count: usize, rng: &mut Rng) -> Option<Rectangle> {
        let scale = self.scale.map(|share| share / count as f64);
        (0..10).find_map(|_| {
            let (height, width) = draw_sides(image, scale, self.ratio, rng);
            (height < image.height && width < image.width).then(|| Rectangle {
                top: rng.random_range(0..=image.height - height),
                left: rng.random_range(0..=image.width - width),
                size: Size { height, width },
            })
        })
    }
}

impl NormalizedTransform for RandomErasing {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        validate_positive(NAME, "scale", self.scale, 1.0)?;
        validate_positive(NAME, "ratio", self.ratio, f64::INFINITY)?;
        let [fewest, most] = self.count;
        if fewest == 0 || fewest > most || most > 1000 {
            let (expected, found) = ("[low, high] with 1 <= low <= high <= 1000".into(), format!("{:?}", self.count));
            return Err(Error::BadValue { op: NAME, field: "count", expected, found });
        }
        match &self.value {
            EraseValue::Each(values) if values.len() != channels => Err(Error::BadValue {
                op: NAME,
                field: "value",
                expected: format!("a number, a list of {channels}, or \"random\""),
                found: format!("{values:?}"),
            }),
            _ => Ok(()),
        }
    }

    fn apply(&self, image: &mut NormalizedImage<'_>, rng: &mut Rng) {
        let [fewest, most] = self.count;
        let count = if fewest == most { most } else { rng.random_range(fewest..=most) };
        for _ in 0..count {
            let Some(rectangle) = self.draw(image.size, count, rng) else {
                continue;
            };
            match (self.mode, &self.value) {
                (EraseMode::Rand, _) => {
                    let colour: [f32; 3] = std::array::from_fn(|_| rng.sample(StandardNormal));
                    erase(image, rectangle, |channel| colour[channel]);
                }
                (EraseMode::Pixel, _) | (_, EraseValue::Named(NamedValue::Random)) => {
                    erase(image, rectangle, |_| rng.sample(StandardNormal));
                }
                (_, EraseValue::All(value)) => erase(image, rectangle, |_| *value),
                (_, EraseValue::Each(values)) => erase(image, rectangle, |channel| values[channel]),
            }
        }
    }
}

/// Writes `value(channel)` to every value in the rectangle, row by row, clipped to the image.
///
/// # Source
/// torchvision `F.erase`.
pub fn erase(image: &mut NormalizedImage<'_>, rectangle: Rectangle, mut value: impl FnMut(usize) -> f32) {
    let (channels, width) = (image.channels, image.size.width);
    let columns = rectangle.left.min(width) * channels..(rectangle.left + rectangle.size.width).min(width) * channels;
    let rows = image.data.chunks_exact_mut(width * channels).skip(rectangle.top).take(rectangle.size.height);
    for row in rows {
        for pixel in row[columns.clone()].chunks_exact_mut(channels) {
            for (channel, out) in pixel.iter_mut().enumerate() {
                *out = value(channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn areas_and_ratios_keep_to_their_ranges() {
        let op: RandomErasing = serde_json::from_str("{}").unwrap();
        op.validate(3).unwrap();
        let image = Size { height: 200, width: 300 };
        let (mut areas, mut count) = (0.0, 0);
        for sample in 0..2000 {
            let Some(found) = op.draw(image, 1, &mut keyed(0, 0, sample, 0)) else {
                continue;
            };
            let area = found.size.pixels() as f64 / image.pixels() as f64;
            let ratio = found.size.height as f64 / found.size.width as f64;
            assert!((0.019..0.34).contains(&area) && (0.28..3.5).contains(&ratio), "{found:?}");
            assert!(found.top + found.size.height <= 200 && found.left + found.size.width <= 300);
            areas += area;
            count += 1;
        }
        assert!(count > 1950, "{count}");
        assert!((areas / f64::from(count) - 0.175).abs() < 0.01);
    }

    #[test]
    fn the_rectangle_and_nothing_else_is_overwritten() {
        let mut data = vec![1.0; 4 * 5 * 3];
        let mut image = NormalizedImage { size: Size { height: 4, width: 5 }, channels: 3, data: &mut data };
        let rectangle = Rectangle { top: 1, left: 2, size: Size { height: 2, width: 9 } };
        erase(&mut image, rectangle, |channel| channel as f32 + 5.0);
        for (i, pixel) in data.chunks_exact(3).enumerate() {
            let inside = (1..3).contains(&(i / 5)) && (2..5).contains(&(i % 5));
            assert_eq!(pixel, if inside { [5.0, 6.0, 7.0] } else { [1.0; 3] }, "{i}");
        }
    }

    #[test]
    fn modes_and_counts_are_timms() {
        let size = Size { height: 40, width: 50 };
        let run = |text: &str| {
            let op: RandomErasing = serde_json::from_str(text).unwrap();
            op.validate(3).unwrap();
            let mut data = vec![7.0; 40 * 50 * 3];
            op.apply(&mut NormalizedImage { size, channels: 3, data: &mut data }, &mut keyed(0, 0, 1, 0));
            data.as_chunks::<3>().0.iter().filter(|pixel| **pixel != [7.0; 3]).copied().collect::<Vec<_>>()
        };
        let erased = run(r#"{ "mode": "rand" }"#);
        assert!(erased.len() > 30 && erased.iter().all(|pixel| *pixel == erased[0]) && erased[0][0] != erased[0][1]);
        let erased = run(r#"{ "mode": "pixel" }"#);
        assert!(erased.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(run(r#"{ "mode": "const", "value": 3 }"#).iter().all(|pixel| *pixel == [3.0; 3]));
        let colours = run(r#"{ "mode": "rand", "count": [4, 4] }"#);
        let mut distinct = colours.clone();
        distinct.dedup();
        distinct.sort_by(|a, b| a[0].total_cmp(&b[0]));
        distinct.dedup();
        assert!((2..=4).contains(&distinct.len()), "{distinct:?}");
        let bad: RandomErasing = serde_json::from_str(r#"{ "count": [0, 2] }"#).unwrap();
        assert!(matches!(bad.validate(3), Err(Error::BadValue { field: "count", .. })));
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for (text, expected) in [
            ("0.5", EraseValue::All(0.5)),
            ("[1, 2, 3]", EraseValue::Each(vec![1.0, 2.0, 3.0])),
            ("\"random\"", EraseValue::Named(NamedValue::Random)),
        ] {
            let op: RandomErasing = serde_json::from_str(&format!("{{ \"value\": {text} }}")).unwrap();
            assert_eq!(op.value, expected);
        }
        assert!(serde_json::from_str::<RandomErasing>(r#"{ "value": "noise" }"#).is_err());
    }
}
