//! GaussianNoise: adds normally distributed noise.

use rand::Rng as _;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Error, Image8, Result, Transform};

const NAME: &str = "GaussianNoise";

/// Adds noise to every value of every channel, in units of pixel / 255. The result is clipped to the range of pixels.
///
/// # Source
/// torchvision `v2.GaussianNoise` on 8-bit images, with `clip=True`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    /// The mean of the noise, -1 to 1.
    #[serde(default)]
    pub mean: f64,
    /// The standard deviation of the noise, 0 to 1.
    #[serde(default = "tenth")]
    pub sigma: f64,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn tenth() -> f64 {
    0.1
}

impl Transform for GaussianNoise {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        for (field, value, allowed) in [("mean", self.mean, -1.0..=1.0), ("sigma", self.sigma, 0.0..=1.0)] {
            if !allowed.contains(&value) {
                let expected = format!("from {} to {}", allowed.start(), allowed.end());
                return Err(Error::BadValue { op: NAME, field, expected, found: value.to_string() });
            }
        }
        Ok(())
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        gaussian_noise(&mut image, self.mean, self.sigma, || rng.sample(StandardNormal));
        Ok(image)
    }
}

/// Adds `255 (mean + sigma n)`, truncated, to every value, with `n` from `standard_normal`.
///
/// # Source
/// torchvision `F.gaussian_noise` on 8-bit images.
pub fn gaussian_noise(image: &mut Image8, mean: f64, sigma: f64, mut standard_normal: impl FnMut() -> f32) {
    let (mean, sigma) = ((mean * 255.0) as f32, (sigma * 255.0) as f32);
    for value in image.data_mut() {
        let noise = (mean + standard_normal() * sigma) as i32;
        *value = i32::from(*value).saturating_add(noise).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::rng::keyed;

    #[test]
    fn noise_has_its_mean_and_deviation() {
        let op = GaussianNoise { mean: 0.1, sigma: 0.05, p: 1.0 };
        let image = Image8::new(Size { height: 100, width: 100 }, 3, vec![100; 30_000]).unwrap();
        let noisy = op.apply(image, &mut keyed(5, 0, 0, 0)).unwrap();
        let n = noisy.data().len() as f64;
        let mean = noisy.data().iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = noisy.data().iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 125.0).abs() < 0.4, "{mean}"); // 100 + 25.5, half a level cut off
        assert!((variance.sqrt() - 12.75).abs() < 0.3, "{variance}");
    }
}
