//! RandomAdjustSharpness: blends the image with a smoothed one.

use serde::{Deserialize, Serialize};

use super::adjust::blend;
use crate::params::{half, validate_p};
use crate::rng::Rng;
use crate::{Error, Image8, Result, Transform};

const NAME: &str = "RandomAdjustSharpness";

/// Changes the sharpness by a fixed factor.
///
/// # Source
/// torchvision `v2.RandomAdjustSharpness` on Pillow images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RandomAdjustSharpness {
    /// The factor: 0 smooths, 1 is no change, 2 doubles the detail that smoothing removes.
    pub sharpness_factor: f64,
    /// The probability that the op is applied.
    #[serde(default = "half")]
    pub p: f64,
}

impl Transform for RandomAdjustSharpness {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        if self.sharpness_factor >= 0.0 && self.sharpness_factor.is_finite() {
            return Ok(());
        }
        let found = self.sharpness_factor.to_string();
        Err(Error::BadValue { op: NAME, field: "sharpness_factor", expected: "0 or more".into(), found })
    }

    fn apply(&self, mut image: Image8, _: &mut Rng) -> Result<Image8> {
        adjust_sharpness(&mut image, self.sharpness_factor as f32);
        Ok(image)
    }
}

/// Blends the smoothed image (`factor` 0) with the image (1); more than 1 sharpens. The outermost pixels do not change.
///
/// # Source
/// Pillow `ImageEnhance.Sharpness`: smoothing weights a pixel by 5/13 and its eight neighbours by 1/13 each.
pub fn adjust_sharpness(image: &mut Image8, factor: f32) {
    let (height, width, channels) = (image.height(), image.width(), image.channels());
    if height < 3 || width < 3 {
        return;
    }
    let stride = width * channels;
    // Vertical sums of three pixels, then horizontal sums of three of these.
    let mut above = image.row(0).to_vec();
    let mut columns = vec![0u16; stride];
    for y in 1..height - 1 {
        let middle = image.row(y).to_vec();
        for (i, sum) in columns.iter_mut().enumerate() {
            *sum = u16::from(above[i]) + u16::from(middle[i]) + u16::from(image.row(y + 1)[i]);
        }
        let row = &mut image.data_mut()[y * stride..(y + 1) * stride];
        for i in channels..stride - channels {
            let nine = columns[i - channels] + columns[i] + columns[i + channels];
            let smooth = ((nine + 4 * u16::from(middle[i])) * 2 + 13) / 26;
            row[i] = blend(smooth as u8, middle[i], factor);
        }
        above = middle;
    }
}
