//! RandAugment: a fixed number of changes of one strength, with torchvision's parameters or a timm string.

use rand::seq::IndexedRandom as _;
use serde::{Deserialize, Serialize};

use super::space::Space;
use super::{Change, TimmRandAugment};
use crate::params::{always, validate_p};
use crate::rng::{Rng, chance};
use crate::{Error, Fill, Image8, InterpolationChoice, Result, Size, Transform};

const NAME: &str = "RandAugment";

/// Applies `num_ops` changes drawn from 14, each with strength `magnitude`; or those of the timm string `config`.
///
/// # Source
/// Cubuk et al. 2019, <https://arxiv.org/abs/1909.13719>; torchvision `v2.RandAugment` on Pillow images; timm
/// `rand_augment_transform`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// A timm string such as `rand-m9-mstd0.5-inc1`. The next three parameters are ignored then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The number of changes.
    #[serde(default = "default_num_ops")]
    pub num_ops: usize,
    /// The strength, from 0 to below `num_magnitude_bins`.
    #[serde(default = "default_magnitude")]
    pub magnitude: usize,
    /// The number of strengths, at least 2.
    #[serde(default = "default_bins")]
    pub num_magnitude_bins: usize,
    /// The interpolation. `None`: nearest; with `config`, bilinear or bicubic at random, as in timm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<InterpolationChoice>,
    /// The colour of uncovered pixels. `None`: black; with `config`, grey (128), as in timm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Fill>,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_num_ops() -> usize {
    2
}

fn default_magnitude() -> usize {
    9
}

pub(super) fn default_bins() -> usize {
    31
}

impl Default for RandAugment {
    /// torchvision's defaults: two changes of strength 9 of 31.
    fn default() -> Self {
        Self {
            config: None,
            num_ops: default_num_ops(),
            magnitude: default_magnitude(),
            num_magnitude_bins: default_bins(),
            interpolation: None,
            fill: None,
            p: 1.0,
        }
    }
}

impl RandAugment {
    /// Draws the changes for an image of `size`, in order.
    ///
    /// # Errors
    /// `config` is not a valid timm string.
    pub fn draw(&self, size: Size, rng: &mut Rng) -> Result<Vec<Change>> {
        if let Some(config) = &self.config {
            let config: TimmRandAugment = config.parse()?;
            return Ok(config.draw(size, rng).into_iter().map(|(_, change)| change).collect());
        }
        let bin = self.magnitude;
        Ok((0..self.num_ops)
            .map(|_| draw_change(Space::RandAugment, |_| bin, self.num_magnitude_bins, size, rng))
            .collect())
    }
}

/// Draws an op of `space` with the magnitude at `bin` of `bins`, and its sign.
pub(super) fn draw_change(
    space: Space,
    bin: impl FnOnce(&mut Rng) -> usize,
    bins: usize,
    size: Size,
    rng: &mut Rng,
) -> Change {
    let Some(op) = space.ops().choose(rng).copied() else {
        return Change::Identity;
    };
    let bin = bin(rng);
    let magnitude = space
        .magnitude(op, bin, bins, size)
        .map_or(0.0, |(magnitude, signed)| if signed && chance(rng, 0.5) { -magnitude } else { magnitude });
    op.change(magnitude)
}

/// Refuses Lanczos, which is for resizing only.
pub(super) fn validate_interpolation(op: &'static str, interpolation: InterpolationChoice) -> Result<()> {
    if interpolation != InterpolationChoice::Lanczos {
        return Ok(());
    }
    let expected = "nearest, bilinear, bicubic or random".into();
    Err(Error::BadValue { op, field: "interpolation", expected, found: "lanczos".into() })
}

/// Refuses fewer than two magnitudes.
pub(super) fn validate_bins(op: &'static str, bins: usize) -> Result<()> {
    if (2..=1000).contains(&bins) {
        return Ok(());
    }
    let expected = "from 2 to 1000".into();
    Err(Error::BadValue { op, field: "num_magnitude_bins", expected, found: bins.to_string() })
}

impl Transform for RandAugment {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        validate_bins(NAME, self.num_magnitude_bins)?;
        if self.magnitude >= self.num_magnitude_bins {
            let (expected, found) = (format!("below {}", self.num_magnitude_bins), self.magnitude.to_string());
            return Err(Error::BadValue { op: NAME, field: "magnitude", expected, found });
        }
        if self.num_ops > 100 {
            let found = self.num_ops.to_string();
            return Err(Error::BadValue { op: NAME, field: "num_ops", expected: "at most 100".into(), found });
        }
        if let Some(config) = &self.config {
            config.parse::<TimmRandAugment>()?;
        }
        validate_interpolation(NAME, self.interpolation.unwrap_or_default())?;
        self.fill.as_ref().map_or(Ok(()), |fill| fill.validate(NAME, channels))
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        let (interpolation, fill) = match self.config {
            Some(_) => (InterpolationChoice::Random, [128; 3]),
            None => (InterpolationChoice::Nearest, [0; 3]),
        };
        let interpolation = self.interpolation.unwrap_or(interpolation);
        let fill = self.fill.as_ref().map_or(fill, Fill::levels);
        for change in self.draw(image.size(), rng)? {
            image = change.apply(image, interpolation.draw(rng), fill);
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn torchvisions_ops_are_equally_likely_and_signs_balanced() {
        let op: RandAugment = serde_json::from_str(r#"{ "num_ops": 1 }"#).unwrap();
        let size = Size { height: 50, width: 80 };
        let (mut identity, mut left, mut right) = (0, 0, 0);
        for sample in 0..14_000 {
            match op.draw(size, &mut keyed(0, 0, sample, 0)).unwrap()[..] {
                [Change::Identity] => identity += 1,
                [Change::ShearX(x)] if x < 0.0 => left += 1,
                [Change::ShearX(x)] => {
                    assert!((x - 0.09).abs() < 1e-12);
                    right += 1;
                }
                _ => {}
            }
        }
        // 1000 and 500 each, ± 4 standard deviations.
        assert!((880..1120).contains(&identity), "{identity}");
        assert!((410..590).contains(&left) && (410..590).contains(&right), "{left} {right}");
    }

    #[test]
    fn bad_parameters_are_refused() {
        for (text, field) in [
            (r#"{ "magnitude": 31 }"#, "magnitude"),
            (r#"{ "config": "rand-q3" }"#, "config"),
            (r#"{ "num_magnitude_bins": 1 }"#, "num_magnitude_bins"),
            (r#"{ "interpolation": "lanczos" }"#, "interpolation"),
        ] {
            let op: RandAugment = serde_json::from_str(text).unwrap();
            let error = op.validate(3).unwrap_err();
            assert!(matches!(&error, Error::BadValue { field: f, .. } if *f == field), "{error}");
        }
    }
}
