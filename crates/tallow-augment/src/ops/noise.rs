//! SaltAndPepper and PoissonNoise.

use rand::Rng as _;
use rand_distr::{Distribution as _, Poisson};
use serde::{Deserialize, Serialize};

use crate::params::{always, half, validate_p};
use crate::rng::Rng;
use crate::{Error, Image8, Result, Transform};

/// Makes random pixels white or black, in all channels.
///
/// # Source
/// scikit-image `random_noise(mode="s&p")`, which draws for each channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SaltAndPepper {
    /// The fraction of pixels that are replaced, 0 to 1.
    #[serde(default = "default_amount")]
    pub amount: f64,
    /// The fraction of white pixels among them, 0 to 1.
    #[serde(default = "half")]
    pub salt_vs_pepper: f64,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_amount() -> f64 {
    0.05
}

impl Transform for SaltAndPepper {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        const NAME: &str = "SaltAndPepper";
        validate_p(NAME, self.p)?;
        for (field, value) in [("amount", self.amount), ("salt_vs_pepper", self.salt_vs_pepper)] {
            if !(0.0..=1.0).contains(&value) {
                let found = value.to_string();
                return Err(Error::BadValue { op: NAME, field, expected: "from 0 to 1".into(), found });
            }
        }
        Ok(())
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        let channels = image.channels();
        let salt = self.amount * self.salt_vs_pepper;
        for pixel in image.data_mut().chunks_exact_mut(channels) {
            let draw: f64 = rng.random();
            if draw < self.amount {
                pixel.fill(if draw < salt { 255 } else { 0 });
            }
        }
        Ok(image)
    }
}

/// Replaces every value by a draw from the Poisson distribution with that mean: photon noise.
///
/// # Source
/// scikit-image `random_noise(mode="poisson")`, which uses a `peak` of 256 for images that use all levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoissonNoise {
    /// The number of photons of the brightest value, 1 to a million. Fewer photons give more noise.
    #[serde(default = "default_peak")]
    pub peak: f64,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_peak() -> f64 {
    256.0
}

impl Transform for PoissonNoise {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        const NAME: &str = "PoissonNoise";
        validate_p(NAME, self.p)?;
        if (1.0..=1e6).contains(&self.peak) {
            return Ok(());
        }
        let (expected, found) = ("from 1 to 1000000".into(), self.peak.to_string());
        Err(Error::BadValue { op: NAME, field: "peak", expected, found })
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        let per_level = self.peak / 255.0;
        // One distribution per level; level 0 has no photons.
        let distributions: Vec<Option<Poisson<f64>>> =
            (0..256).map(|level| Poisson::new(f64::from(level) * per_level).ok()).collect();
        for value in image.data_mut() {
            if let Some(distribution) = &distributions[usize::from(*value)] {
                *value = (distribution.sample(rng) / per_level).round() as u8;
            }
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::rng::keyed;

    fn plain(level: u8) -> Image8 {
        Image8::new(Size { height: 100, width: 100 }, 3, vec![level; 30_000]).unwrap()
    }

    #[test]
    fn salt_and_pepper_have_their_shares() {
        let op = SaltAndPepper { amount: 0.2, salt_vs_pepper: 0.75, p: 1.0 };
        let noisy = op.apply(plain(100), &mut keyed(0, 0, 0, 0)).unwrap();
        let (pixels, _) = noisy.data().as_chunks::<3>();
        let count = |level: u8| pixels.iter().filter(|pixel| **pixel == [level; 3]).count();
        let (salt, pepper) = (count(255), count(0));
        assert!((1360..1640).contains(&salt) && (420..590).contains(&pepper), "{salt} {pepper}"); // 4 deviations
        assert_eq!(salt + pepper + count(100), 10_000);
    }

    #[test]
    fn poisson_noise_has_the_variance_of_counting() {
        let op = PoissonNoise { peak: 64.0, p: 1.0 };
        let noisy = op.apply(plain(100), &mut keyed(1, 0, 0, 0)).unwrap();
        let mean = noisy.data().iter().map(|v| f64::from(*v)).sum::<f64>() / 30_000.0;
        let variance = noisy.data().iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 30_000.0;
        // Variance of photons = mean of photons = 25.1; in levels times (255 / 64)².
        let expected = 100.0 * 255.0 / 64.0;
        assert!((mean - 100.0).abs() < 0.5, "{mean}");
        assert!((variance / expected - 1.0).abs() < 0.04, "{variance} {expected}");
        assert_eq!(op.apply(plain(0), &mut keyed(1, 0, 0, 0)).unwrap(), plain(0));
    }
}
