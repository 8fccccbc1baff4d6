//! AugMix: blends several chains of changes with the image.

use rand::Rng as _;
use rand_distr::{Distribution as _, Gamma};
use serde::{Deserialize, Serialize};

use super::Change;
use super::rand_augment::{draw_change, validate_interpolation};
use super::space::Space;
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Error, Fill, Image8, InterpolationChoice, Result, Size, Transform};

const NAME: &str = "AugMix";

/// The number of strengths of a change; the first `severity` are used.
const BINS: usize = 10;

/// Blends the image with `mixture_width` versions of it, each changed up to three times, with random weights.
///
/// # Source
/// Hendrycks et al. 2020, <https://arxiv.org/abs/1912.02781>; torchvision `v2.AugMix`. Changes are those of Pillow
/// images, where torchvision uses tensors. timm's loss over three views is part of the training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AugMix {
    /// The strength, 1 to 10.
    #[serde(default = "three")]
    pub severity: usize,
    /// The number of chains.
    #[serde(default = "three")]
    pub mixture_width: usize,
    /// The number of changes per chain; negative for 1 to 3 at random.
    #[serde(default = "random_depth")]
    pub chain_depth: i64,
    /// The parameter of the Dirichlet distribution of the weights, above 0.
    #[serde(default = "always")]
    pub alpha: f64,
    /// Whether brightness, colour, contrast and sharpness are included.
    #[serde(default = "yes")]
    pub all_ops: bool,
    /// The interpolation: nearest, bilinear, bicubic or random.
    #[serde(default)]
    pub interpolation: InterpolationChoice,
    /// The colour of uncovered pixels.
    #[serde(default)]
    pub fill: Fill,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn three() -> usize {
    3
}

fn random_depth() -> i64 {
    -1
}

fn yes() -> bool {
    true
}

impl AugMix {
    fn draw(&self, size: Size, rng: &mut Rng) -> Change {
        loop {
            let change = draw_change(Space::AugMix, |rng| rng.random_range(0..self.severity), BINS, size, rng);
            let colour =
                matches!(change, Change::Brightness(_) | Change::Color(_) | Change::Contrast(_) | Change::Sharpness(_));
            if self.all_ops || !colour {
                return change;
            }
        }
    }
}

impl Transform for AugMix {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, channels: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        let bad = |field, expected: &str, found: String| {
            Err(Error::BadValue { op: NAME, field, expected: expected.into(), found })
        };
        if !(1..=BINS).contains(&self.severity) {
            return bad("severity", "from 1 to 10", self.severity.to_string());
        }
        if !(1..=100).contains(&self.mixture_width) {
            return bad("mixture_width", "from 1 to 100", self.mixture_width.to_string());
        }
        if self.chain_depth > 100 {
            return bad("chain_depth", "at most 100", self.chain_depth.to_string());
        }
        if self.alpha <= 0.0 || !self.alpha.is_finite() {
            return bad("alpha", "above 0", self.alpha.to_string());
        }
        validate_interpolation(NAME, self.interpolation)?;
        self.fill.validate(NAME, channels)
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        let [own, others] = dirichlet(self.alpha, 2, rng)[..] else {
            return Ok(image);
        };
        let mut mixed: Vec<f32> = image.data().iter().map(|value| own * f32::from(*value)).collect();
        for weight in dirichlet(self.alpha, self.mixture_width, rng) {
            let depth = if self.chain_depth > 0 { self.chain_depth } else { rng.random_range(1..=3) };
            let mut changed = image.clone();
            for _ in 0..depth {
                let change = self.draw(changed.size(), rng);
                changed = change.apply(changed, self.interpolation.draw(rng), self.fill.levels());
            }
            let weight = weight * others;
            mixed.iter_mut().zip(changed.data()).for_each(|(sum, value)| *sum += weight * f32::from(*value));
        }
        image.data_mut().iter_mut().zip(mixed).for_each(|(value, mixed)| *value = mixed as u8);
        Ok(image)
    }
}

/// Draws `n` weights with sum 1 from the symmetric Dirichlet distribution.
fn dirichlet(alpha: f64, n: usize, rng: &mut Rng) -> Vec<f32> {
    // `Gamma::new` fails only for an `alpha` that `validate` refuses.
    let draws: Vec<f64> = match Gamma::new(alpha, 1.0) {
        Ok(gamma) => (0..n).map(|_| gamma.sample(rng)).collect(),
        Err(_) => vec![1.0; n],
    };
    let sum: f64 = draws.iter().sum();
    if sum > 0.0 {
        draws.into_iter().map(|x| (x / sum) as f32).collect()
    } else {
        // With a tiny alpha, all draws can round to 0: then one has all the weight.
        let all = rng.random_range(0..n);
        (0..n).map(|i| if i == all { 1.0 } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn weights_sum_to_one_and_have_their_mean() {
        let mut rng = keyed(0, 0, 0, 0);
        let mut mean = [0.0; 3];
        for _ in 0..3000 {
            let weights = dirichlet(1.0, 3, &mut rng);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            mean.iter_mut().zip(weights).for_each(|(mean, weight)| *mean += weight / 3000.0);
        }
        // The deviation of a weight is 0.236: four of the mean's are 0.017.
        assert!(mean.iter().all(|mean| (mean - 1.0 / 3.0).abs() < 0.017), "{mean:?}");
        assert_eq!(dirichlet(1e-300, 4, &mut rng).iter().sum::<f32>(), 1.0);
    }

    #[test]
    fn a_plain_image_is_changed_in_colour_only_if_asked_for() {
        let few: AugMix = serde_json::from_str(r#"{ "all_ops": false, "severity": 10 }"#).unwrap();
        let all: AugMix = serde_json::from_str("{}").unwrap();
        let size = Size { height: 9, width: 9 };
        let is_colour = |change| {
            matches!(change, Change::Brightness(_) | Change::Color(_) | Change::Contrast(_) | Change::Sharpness(_))
        };
        let count = |op: &AugMix| (0..1300).filter(|i| is_colour(op.draw(size, &mut keyed(0, 0, *i, 0)))).count();
        assert_eq!(count(&few), 0);
        assert!((340..460).contains(&count(&all)), "{}", count(&all)); // 400 ± 4 standard deviations
    }
}
