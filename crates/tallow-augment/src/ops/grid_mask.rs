//! GridMask: erases the squares of a rotated grid.

use serde::{Deserialize, Serialize};

use crate::params::{validate_p, validate_positive};
use crate::rng::{Rng, uniform};
use crate::{Error, Fill, Image8, Range, Result, Transform};

const NAME: &str = "GridMask";

/// Erases a square in each cell of a grid of random cell size, offset and angle.
///
/// # Source
/// Chen et al. 2020, <https://arxiv.org/abs/2001.04086>. Here the cell size is a fraction of the image's short side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GridMask {
    /// The side of a cell as a fraction of the image's short side, `[low, high]`, up to 1.
    #[serde(default = "default_unit")]
    pub unit: [f64; 2],
    /// The fraction of a cell's side that is kept, 0 to 1: `1 - (1 - ratio)²` of the image is kept.
    #[serde(default = "default_ratio")]
    pub ratio: f64,
    /// The rotation of the grid in degrees: `x` for `[-x, x]`, or `[low, high]`.
    #[serde(default = "default_rotate")]
    pub rotate: Range,
    /// The colour of the squares.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "default_p")]
    pub p: f64,
}

fn default_unit() -> [f64; 2] {
    [0.43, 1.0] // 96 to 224 of 224 pixels
}

fn default_ratio() -> f64 {
    0.6
}

fn default_rotate() -> Range {
    Range::Around(180.0)
}

fn default_p() -> f64 {
    0.7
}

/// A grid with a square at the start of each cell, in pixels of the image, rotated about its centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// The side of a cell.
    pub unit: f64,
    /// The side of the erased square.
    pub square: f64,
    /// The start of a cell along the axes of the grid, from the image's centre.
    pub offset: [f64; 2],
    /// The rotation in degrees.
    pub angle: f64,
}

impl GridMask {
    fn draw(&self, short_side: usize, rng: &mut Rng) -> Grid {
        let unit = (uniform(rng, self.unit[0], self.unit[1]) * short_side as f64).max(2.0);
        let [low, high] = self.rotate.bounds(0.0, -360.0);
        let offset = [uniform(rng, 0.0, unit), uniform(rng, 0.0, unit)];
        Grid { unit, square: unit * (1.0 - self.ratio), offset, angle: uniform(rng, low, high) }
    }
}

impl Transform for GridMask {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        validate_positive(NAME, "unit", self.unit, 1.0)?;
        self.rotate.validate(NAME, "rotate", 0.0, [-360.0, 360.0])?;
        if !(0.0..=1.0).contains(&self.ratio) {
            let found = self.ratio.to_string();
            return Err(Error::BadValue { op: NAME, field: "ratio", expected: "from 0 to 1".into(), found });
        }
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        let grid = self.draw(image.height().min(image.width()), rng);
        grid_mask(&mut image, grid, self.fill.levels());
        Ok(image)
    }
}

/// Fills the squares of `grid`.
pub fn grid_mask(image: &mut Image8, grid: Grid, fill: [u8; 3]) {
    let (size, channels) = (image.size(), image.channels());
    let (sin, cos) = grid.angle.to_radians().sin_cos();
    let (middle_x, middle_y) = (size.width as f64 / 2.0, size.height as f64 / 2.0);
    for (at, pixel) in image.data_mut().chunks_exact_mut(channels).enumerate() {
        let x = (at % size.width) as f64 + 0.5 - middle_x;
        let y = (at / size.width) as f64 + 0.5 - middle_y;
        let along = [cos * x + sin * y, cos * y - sin * x];
        let blotted = |axis: usize| (along[axis] - grid.offset[axis]).rem_euclid(grid.unit) < grid.square;
        if blotted(0) && blotted(1) {
            pixel.copy_from_slice(&fill[..channels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::rng::keyed;

    #[test]
    fn squares_lie_on_the_grid() {
        let mut image = Image8::new(Size { height: 8, width: 8 }, 1, vec![1; 64]).unwrap();
        grid_mask(&mut image, Grid { unit: 4.0, square: 2.0, offset: [0.0, 1.0], angle: 0.0 }, [9; 3]);
        for (at, value) in image.data().iter().enumerate() {
            let (x, y) = (at % 8, at / 8);
            assert_eq!(*value == 9, x % 4 < 2 && (y + 3) % 4 < 2, "{x} {y}");
        }
    }

    #[test]
    fn the_share_that_stays_is_right() {
        let op: GridMask = serde_json::from_str(r#"{ "fill": 255 }"#).unwrap();
        op.validate(1).unwrap();
        let mut blotted = 0;
        for sample in 0..200 {
            let image = Image8::new(Size { height: 60, width: 80 }, 1, vec![0; 4800]).unwrap();
            let masked = op.apply(image, &mut keyed(0, 0, sample, 0)).unwrap();
            blotted += masked.data().iter().filter(|value| **value == 255).count();
        }
        let share = blotted as f64 / (200.0 * 4800.0);
        assert!((share - 0.16).abs() < 0.015, "{share}");
    }
}
