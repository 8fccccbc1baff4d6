//! RandomPerspective: a random projective distortion.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::random_rotation::validate_interpolation;
use super::sample::{Placement, transform};
use crate::params::{half, validate_p};
use crate::rng::Rng;
use crate::{Error, Fill, Image8, Interpolation, Result, Size, Transform};

const NAME: &str = "RandomPerspective";

/// Moves each corner of the image inwards by a random amount and distorts the image to fit. Keeps the size.
///
/// # Source
/// torchvision `v2.RandomPerspective` on Pillow images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomPerspective {
    /// The largest displacement of a corner, as a fraction of half the image's sides, 0 to 1.
    #[serde(default = "half")]
    pub distortion_scale: f64,
    /// The interpolation: nearest, bilinear or bicubic.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// The colour of uncovered pixels.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

/// The top left, top right, bottom right and bottom left corner, each x and y in pixels.
pub type Corners = [[f64; 2]; 4];

impl RandomPerspective {
    fn draw(&self, image: Size, rng: &mut Rng) -> Corners {
        let most = |side: usize| (self.distortion_scale * (side / 2) as f64) as usize;
        let (x, y) = (most(image.width), most(image.height));
        let (right, bottom) = (image.width - 1, image.height - 1);
        let mut low = |most: usize| rng.random_range(0..=most);
        let drawn =
            [[low(x), low(y)], [right - low(x), low(y)], [right - low(x), bottom - low(y)], [low(x), bottom - low(y)]];
        drawn.map(|corner| corner.map(|place| place as f64))
    }
}

impl Transform for RandomPerspective {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        if !(0.0..=1.0).contains(&self.distortion_scale) {
            let found = self.distortion_scale.to_string();
            return Err(Error::BadValue { op: NAME, field: "distortion_scale", expected: "from 0 to 1".into(), found });
        }
        validate_interpolation(NAME, self.interpolation)?;
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let corners = self.draw(image.size(), rng);
        Ok(perspective(&image, corners, self.interpolation, self.fill.levels()))
    }
}

/// Distorts the image so that its corners are at `corners`. Keeps the size; collinear corners change nothing.
///
/// # Source
/// torchvision `F.perspective` on Pillow images: `Image.transform(PERSPECTIVE)`, coefficients in f32.
pub fn perspective(image: &Image8, corners: Corners, interpolation: Interpolation, fill: [u8; 3]) -> Image8 {
    let (right, bottom) = (image.width() as f64 - 1.0, image.height() as f64 - 1.0);
    let start = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    let Some(c) = coefficients(corners, start) else {
        return image.clone();
    };
    transform(image, &Projection(c), interpolation, fill)
}

struct Projection([f64; 8]);

impl Placement for Projection {
    #[inline(always)]
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let c = &self.0;
        let depth = c[6] * x + c[7] * y + 1.0;
        ((c[0] * x + c[1] * y + c[2]) / depth, (c[3] * x + c[4] * y + c[5]) / depth)
    }
}

/// The eight coefficients of the projection that maps the corners `from` to `to`.
fn coefficients(from: Corners, to: Corners) -> Option<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (i, ([x, y], [u, v])) in from.into_iter().zip(to).enumerate() {
        rows[2 * i] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
    }
    // Gauss-Jordan elimination with the largest pivot.
    for column in 0..8 {
        let pivot = (column..8).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() < 1e-9 {
            return None;
        }
        let top = rows[column].map(|value| value / rows[column][column]);
        rows[column] = top;
        for (i, row) in rows.iter_mut().enumerate() {
            if i != column {
                let factor = row[column];
                row.iter_mut().zip(top).for_each(|(value, top)| *value -= factor * top);
            }
        }
    }
    Some(rows.map(|row| f64::from(row[8] as f32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn corners_keep_to_their_quarter() {
        let op: RandomPerspective = serde_json::from_str(r#"{ "distortion_scale": 0.6 }"#).unwrap();
        let image = Size { height: 40, width: 100 };
        let mut most = [0.0f64; 2];
        for sample in 0..500 {
            let [[left, top], _, [right, bottom], _] = op.draw(image, &mut keyed(0, 0, sample, 0));
            assert!((0.0..=30.0).contains(&left) && (0.0..=12.0).contains(&top));
            assert!((69.0..=99.0).contains(&right) && (27.0..=39.0).contains(&bottom));
            most = [most[0].max(left), most[1].max(top)];
        }
        assert_eq!(most, [30.0, 12.0]);
        let one = op.apply(Image8::new(Size { height: 1, width: 1 }, 1, vec![5]).unwrap(), &mut keyed(0, 0, 0, 0));
        assert_eq!(one.unwrap().data(), [5]);
    }
}
