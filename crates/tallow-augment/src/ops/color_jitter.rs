//! ColorJitter: random brightness, contrast, saturation and hue, in random order.

use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use super::adjust::{adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation};
use crate::params::{always, validate_p};
use crate::rng::{Rng, uniform};
use crate::{Image8, Range, Result, Transform};

const NAME: &str = "ColorJitter";

/// Changes the colours by uniformly drawn factors. A number `x` means `[max(0, 1 - x), 1 + x]`; for hue `[-x, x]`.
///
/// # Source
/// torchvision `v2.ColorJitter` on Pillow images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ColorJitter {
    /// The range of the brightness factor; 0 is black, 1 is no change.
    #[serde(default = "none")]
    pub brightness: Range,
    /// The range of the contrast factor; 0 is grey, 1 is no change.
    #[serde(default = "none")]
    pub contrast: Range,
    /// The range of the saturation factor; 0 is colourless, 1 is no change.
    #[serde(default = "none")]
    pub saturation: Range,
    /// The range of the hue rotation, within -0.5 to 0.5 turns; 0 is no change.
    #[serde(default = "none")]
    pub hue: Range,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn none() -> Range {
    Range::Around(0.0)
}

/// The allowed factors of brightness, contrast and saturation.
const FACTORS: [f64; 2] = [0.0, f64::INFINITY];
/// The allowed hue rotation.
const HUES: [f64; 2] = [-0.5, 0.5];

/// One change of colour with its factor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f64),
}

impl ColorJitter {
    /// The drawn changes in random order, without those whose range is only "no change".
    fn draw(&self, rng: &mut Rng) -> Vec<Change> {
        let mut factor = |range: Range| {
            let [low, high] = range.bounds(1.0, FACTORS[0]);
            (low != 1.0 || high != 1.0).then(|| uniform(rng, low, high) as f32)
        };
        let brightness = factor(self.brightness).map(Change::Brightness);
        let contrast = factor(self.contrast).map(Change::Contrast);
        let saturation = factor(self.saturation).map(Change::Saturation);
        let [low, high] = self.hue.bounds(0.0, HUES[0]);
        let hue = (low != 0.0 || high != 0.0).then(|| Change::Hue(uniform(rng, low, high)));
        let mut changes: Vec<Change> = [brightness, contrast, saturation, hue].into_iter().flatten().collect();
        changes.shuffle(rng);
        changes
    }
}

impl Transform for ColorJitter {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.brightness.validate(NAME, "brightness", 1.0, FACTORS)?;
        self.contrast.validate(NAME, "contrast", 1.0, FACTORS)?;
        self.saturation.validate(NAME, "saturation", 1.0, FACTORS)?;
        self.hue.validate(NAME, "hue", 0.0, HUES)
    }

    fn apply(&self, mut image: Image8, rng: &mut Rng) -> Result<Image8> {
        for change in self.draw(rng) {
            match change {
                Change::Brightness(factor) => adjust_brightness(&mut image, factor),
                Change::Contrast(factor) => adjust_contrast(&mut image, factor),
                Change::Saturation(factor) => adjust_saturation(&mut image, factor),
                Change::Hue(factor) => adjust_hue(&mut image, factor),
            }
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn factors_fill_their_ranges_and_the_order_varies() {
        let op = ColorJitter {
            brightness: Range::Around(0.4),
            contrast: Range::Between([0.5, 0.9]),
            saturation: Range::Around(2.0),
            hue: Range::Around(0.1),
            p: 1.0,
        };
        let mut bounds = [[f64::MAX, f64::MIN]; 4];
        let mut first = [0; 4];
        for sample in 0..4000 {
            for (place, change) in op.draw(&mut keyed(1, 0, sample, 0)).into_iter().enumerate() {
                let (kind, value) = match change {
                    Change::Brightness(f) => (0, f.into()),
                    Change::Contrast(f) => (1, f.into()),
                    Change::Saturation(f) => (2, f.into()),
                    Change::Hue(f) => (3, f),
                };
                bounds[kind] = [bounds[kind][0].min(value), bounds[kind][1].max(value)];
                first[kind] += usize::from(place == 0);
            }
        }
        for (found, expected) in bounds.iter().zip([[0.6, 1.4], [0.5, 0.9], [0.0, 3.0], [-0.1, 0.1]]) {
            let width = expected[1] - expected[0];
            assert!((found[0] - expected[0]).abs() < 0.01 * width && (found[1] - expected[1]).abs() < 0.01 * width);
            assert!(found[0] >= expected[0] - 1e-6 && found[1] <= expected[1] + 1e-6);
        }
        assert!(first.iter().all(|n| (880..1120).contains(n)), "{first:?}"); // 1000 ± 4 standard deviations
    }

    #[test]
    fn only_what_is_asked_for_is_changed() {
        let op: ColorJitter = serde_json::from_str(r#"{ "contrast": 0.2 }"#).unwrap();
        assert!(matches!(op.draw(&mut keyed(0, 0, 0, 0))[..], [Change::Contrast(_)]));
    }
}
