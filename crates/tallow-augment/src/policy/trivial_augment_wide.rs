//! TrivialAugmentWide: one change of random strength.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::rand_augment::{default_bins, draw_change, validate_bins, validate_interpolation};
use super::space::Space;
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Fill, Image8, InterpolationChoice, Result, Transform};

const NAME: &str = "TrivialAugmentWide";

/// Applies one change drawn from 14, with a strength drawn from a wide range.
///
/// # Source
/// Müller and Hutter 2021, <https://arxiv.org/abs/2103.10158>; torchvision `v2.TrivialAugmentWide` on Pillow images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrivialAugmentWide {
    /// The number of strengths, at least 2.
    #[serde(default = "default_bins")]
    pub num_magnitude_bins: usize,
    /// The interpolation: nearest, bilinear, bicubic or random.
    #[serde(default = "nearest")]
    pub interpolation: InterpolationChoice,
    /// The colour of uncovered pixels.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

/// Serde default: torchvision's.
pub(super) fn nearest() -> InterpolationChoice {
    InterpolationChoice::Nearest
}

impl Transform for TrivialAugmentWide {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        validate_bins(NAME, self.num_magnitude_bins)?;
        validate_interpolation(NAME, self.interpolation)?;
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let bins = self.num_magnitude_bins;
        let bin = |rng: &mut Rng| rng.random_range(0..bins);
        let change = draw_change(Space::TrivialAugmentWide, bin, bins, image.size(), rng);
        Ok(change.apply(image, self.interpolation.draw(rng), self.fill.levels()))
    }
}
