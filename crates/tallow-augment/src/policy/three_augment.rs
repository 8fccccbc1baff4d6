//! ThreeAugment, the policy of DeiT III: grayscale, solarize or blur.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::Change;
use crate::params::{always, validate_p};
use crate::rng::{Rng, uniform};
use crate::{Image8, Interpolation, Result, Transform};

/// Applies one of three changes at random: grayscale, solarize from 128 on, or blur (radius 0.1 to 2). The recipe has a
/// `ColorJitter` of 0.3 for brightness, contrast and saturation after it.
///
/// # Source
/// Touvron et al. 2022, <https://arxiv.org/abs/2204.07118>; `new_data_aug_generator` of DeiT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThreeAugment {
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

impl ThreeAugment {
    fn draw(rng: &mut Rng) -> Change {
        match rng.random_range(0..3) {
            0 => Change::Grayscale,
            1 => Change::Solarize(128.0),
            _ => Change::GaussianBlur(uniform(rng, 0.1, 2.0)),
        }
    }
}

impl Transform for ThreeAugment {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p("ThreeAugment", self.p)
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        Ok(Self::draw(rng).apply(image, Interpolation::Nearest, [0; 3]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn each_of_the_three_is_drawn_as_often() {
        let mut counts = [0; 3];
        for sample in 0..3000 {
            match ThreeAugment::draw(&mut keyed(0, 0, sample, 0)) {
                Change::Grayscale => counts[0] += 1,
                Change::Solarize(_) => counts[1] += 1,
                Change::GaussianBlur(radius) => {
                    assert!((0.1..2.0).contains(&radius));
                    counts[2] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(counts.iter().all(|n| (897..1103).contains(n)), "{counts:?}"); // 1000 ± 4 standard deviations
    }
}
