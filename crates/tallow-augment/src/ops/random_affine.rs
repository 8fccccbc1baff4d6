//! RandomAffine: random rotation, translation, scaling and shear about the centre.

use serde::{Deserialize, Serialize};

use super::affine::{AffineMatrix, affine};
use super::random_rotation::{ANGLES, nearest, validate_interpolation};
use crate::params::{always, validate_p, validate_positive};
use crate::rng::{Rng, uniform};
use crate::{Error, Fill, Image8, Interpolation, Range, Result, Size, Transform};

const NAME: &str = "RandomAffine";

/// Rotates, translates, scales and shears the image by uniformly drawn amounts. Keeps the size.
///
/// # Source
/// torchvision `v2.RandomAffine` on Pillow images. Here `degrees` is optional (0).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomAffine {
    /// The rotation in degrees clockwise: `x` for `[-x, x]`, or `[low, high]`.
    #[serde(default = "still")]
    pub degrees: Range,
    /// The largest translation, horizontal and vertical, as a fraction of width and height, 0 to 1.
    #[serde(default)]
    pub translate: Option<[f64; 2]>,
    /// The range of the scale factor, `[low, high]`.
    #[serde(default)]
    pub scale: Option<[f64; 2]>,
    /// The shear in degrees.
    #[serde(default)]
    pub shear: Option<Shear>,
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

fn still() -> Range {
    Range::Around(0.0)
}

/// The shear in degrees: `x` for `[-x, x]` along x, `[low, high]` along x, or `[low_x, high_x, low_y, high_y]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number, [low, high] or [low_x, high_x, low_y, high_y]")]
pub enum Shear {
    /// Along x, symmetric.
    Around(f64),
    /// Along x.
    X([f64; 2]),
    /// Along x and y.
    Xy([f64; 4]),
}

/// The allowed shear: at a right angle, the image would be a line.
const SHEARS: [f64; 2] = [-89.0, 89.0];

impl Shear {
    /// The ranges along x and y.
    fn ranges(self) -> [Range; 2] {
        match self {
            Self::Around(x) => [Range::Around(x), still()],
            Self::X(x) => [Range::Between(x), still()],
            Self::Xy([a, b, c, d]) => [Range::Between([a, b]), Range::Between([c, d])],
        }
    }
}

/// The parameters drawn for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Draw {
    /// The rotation in degrees clockwise.
    angle: f64,
    /// The translation in whole pixels, x and y.
    translate: [f64; 2],
    scale: f64,
    /// The shear in degrees, x and y.
    shear: [f64; 2],
}

impl RandomAffine {
    fn draw(&self, image: Size, rng: &mut Rng) -> Draw {
        let mut within = |[low, high]: [f64; 2]| uniform(rng, low, high);
        let angle = within(self.degrees.bounds(0.0, ANGLES[0]));
        let translate = self.translate.map_or([0.0; 2], |[x, y]| {
            [x * image.width as f64, y * image.height as f64].map(|most| within([-most, most]).round_ties_even())
        });
        let scale = self.scale.map_or(1.0, &mut within);
        let shear = self.shear.map_or([0.0; 2], |shear| shear.ranges().map(|r| within(r.bounds(0.0, SHEARS[0]))));
        Draw { angle, translate, scale, shear }
    }
}

impl Transform for RandomAffine {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.degrees.validate(NAME, "degrees", 0.0, ANGLES)?;
        if let Some(translate) = self.translate
            && translate.iter().any(|t| !(0.0..=1.0).contains(t))
        {
            let (expected, found) = ("[x, y], each from 0 to 1".into(), format!("{translate:?}"));
            return Err(Error::BadValue { op: NAME, field: "translate", expected, found });
        }
        if let Some(scale) = self.scale {
            validate_positive(NAME, "scale", scale, f64::INFINITY)?;
        }
        for range in self.shear.iter().flat_map(|shear| shear.ranges()) {
            range.validate(NAME, "shear", 0.0, SHEARS)?;
        }
        validate_interpolation(NAME, self.interpolation)?;
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let Draw { angle, translate, scale, shear } = self.draw(image.size(), rng);
        let matrix = AffineMatrix::new(angle, translate, scale, shear, image.size());
        Ok(affine(&image, &matrix, self.interpolation, self.fill.levels()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn draws_fill_their_ranges() {
        let op: RandomAffine = serde_json::from_str(
            r#"{ "degrees": 20, "translate": [0.1, 0.2], "scale": [0.5, 2], "shear": [-5, 5, 0, 8] }"#,
        )
        .unwrap();
        op.validate(3).unwrap();
        let expected = [[-20.0, 20.0], [-10.0, 10.0], [-10.0, 10.0], [0.5, 2.0], [-5.0, 5.0], [0.0, 8.0]];
        let mut found = [[f64::MAX, f64::MIN]; 6];
        for sample in 0..4000 {
            let draw = op.draw(Size { height: 50, width: 100 }, &mut keyed(0, 0, sample, 0));
            let values = [draw.angle, draw.translate[0], draw.translate[1], draw.scale, draw.shear[0], draw.shear[1]];
            for (bounds, value) in found.iter_mut().zip(values) {
                *bounds = [bounds[0].min(value), bounds[1].max(value)];
            }
            assert!(draw.translate.iter().all(|t| t.fract() == 0.0));
        }
        for (found, expected) in found.iter().zip(expected) {
            let slack = 0.01 * (expected[1] - expected[0]);
            assert!(found[0] >= expected[0] && found[0] < expected[0] + slack, "{found:?} {expected:?}");
            assert!(found[1] <= expected[1] && found[1] > expected[1] - slack, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn bad_ranges_are_refused() {
        for (text, field) in [
            (r#"{ "degrees": -5 }"#, "degrees"),
            (r#"{ "translate": [0.5, 1.5] }"#, "translate"),
            (r#"{ "scale": [0, 1] }"#, "scale"),
            (r#"{ "shear": 90 }"#, "shear"),
            (r#"{ "interpolation": "lanczos" }"#, "interpolation"),
            (r#"{ "fill": [1, 2] }"#, "fill"),
            (r#"{ "p": 1.5 }"#, "p"),
        ] {
            let op: RandomAffine = serde_json::from_str(text).unwrap();
            let error = op.validate(3).unwrap_err();
            assert!(matches!(&error, Error::BadValue { field: f, .. } if *f == field), "{error}");
        }
    }
}
