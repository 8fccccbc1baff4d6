//! Mixup and CutMix parameters, with timm's names, and their random draws.

use rand::Rng as _;
use rand_distr::{Beta, Distribution as _};
use serde::{Deserialize, Serialize};

use super::RowMix;
use crate::ops::Rectangle;
use crate::rng::{Rng, chance};
use crate::{Error, Result, Size};

const NAME: &str = "mix";

/// Mixup, CutMix, or a switch between both. Row `i` of `n` is mixed with row `n - 1 - i`.
///
/// # Source
/// Zhang et al. 2017, <https://arxiv.org/abs/1710.09412>; Yun et al. 2019, <https://arxiv.org/abs/1905.04899>; timm's
/// `Mixup` with `correct_lam`. Label smoothing is a parameter of the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MixConfig {
    /// Parameter of Mixup's Beta distribution; 0 for no Mixup.
    pub mixup_alpha: f64,
    /// Parameter of CutMix's Beta distribution; 0 for no CutMix.
    pub cutmix_alpha: f64,
    /// Shortest and longest sides of CutMix's box as fractions of the image's, instead of `cutmix_alpha`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutmix_minmax: Option<[f64; 2]>,
    /// The probability that a batch (or pair, or element) is mixed.
    pub prob: f64,
    /// The probability of CutMix if both are on.
    pub switch_prob: f64,
    /// Whether the mix is drawn per batch, pair or element.
    pub mode: MixMode,
    /// The epoch from which on nothing is mixed, CutMix included; 0 for no end. timm's name.
    pub mixup_off_epoch: u64,
}

impl Default for MixConfig {
    /// timm's defaults, but with both Mixup and CutMix off.
    fn default() -> Self {
        Self {
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
            cutmix_minmax: None,
            prob: 1.0,
            switch_prob: 0.5,
            mode: MixMode::Batch,
            mixup_off_epoch: 0,
        }
    }
}

/// The unit that a mix is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MixMode {
    /// The whole batch.
    #[default]
    Batch,
    /// Each pair of rows that are mixed with each other.
    Pair,
    /// Each row.
    Elem,
}

impl MixConfig {
    /// Checks the parameters.
    ///
    /// # Errors
    /// A parameter is out of range, or neither Mixup nor CutMix is on.
    pub fn validate(&self) -> Result<()> {
        let bad = |field, expected: &str, found: String| {
            Err(Error::BadValue { op: NAME, field, expected: expected.into(), found })
        };
        for (field, alpha) in [("mixup_alpha", self.mixup_alpha), ("cutmix_alpha", self.cutmix_alpha)] {
            if !(0.0..=1e6).contains(&alpha) {
                return bad(field, "0 or more", alpha.to_string());
            }
        }
        for (field, p) in [("prob", self.prob), ("switch_prob", self.switch_prob)] {
            if !(0.0..=1.0).contains(&p) {
                return bad(field, "from 0 to 1", p.to_string());
            }
        }
        if let Some([low, high]) = self.cutmix_minmax
            && !(0.0 <= low && low <= high && high <= 1.0)
        {
            return bad("cutmix_minmax", "[low, high] with 0 <= low <= high <= 1", format!("{:?}", [low, high]));
        }
        if self.mixup_alpha == 0.0 && self.cutmix_alpha == 0.0 && self.cutmix_minmax.is_none() {
            return bad("mixup_alpha", "above 0, or cutmix_alpha above 0, or cutmix_minmax", "0".into());
        }
        Ok(())
    }

    /// Whether the batches of this epoch, counted from 0, are mixed.
    pub fn is_on(&self, epoch: u64) -> bool {
        self.mixup_off_epoch == 0 || epoch < self.mixup_off_epoch
    }

    /// Draws the mix of each of `n` rows of images of `size`. The config must be
    /// [valid](Self::validate).
    pub fn draw(&self, n: usize, size: Size, rng: &mut Rng) -> Vec<RowMix> {
        let mut rows: Vec<RowMix> = (0..n).map(|row| RowMix::alone(n - 1 - row)).collect();
        let each = match self.mode {
            MixMode::Batch => n.min(1),
            MixMode::Pair => n / 2,
            MixMode::Elem => n,
        };
        for row in 0..each {
            let (own, area) = self.draw_one(size, rng);
            let mut set = |row: usize| (rows[row].own, rows[row].area) = (own, area);
            match self.mode {
                MixMode::Batch => (0..n).for_each(set),
                MixMode::Pair => [row, n - 1 - row].into_iter().for_each(set),
                MixMode::Elem => set(row),
            }
        }
        rows
    }

    /// Draws the weight of a row's own image, and for CutMix the rectangle with the other image.
    fn draw_one(&self, size: Size, rng: &mut Rng) -> (f32, Option<Rectangle>) {
        if !chance(rng, self.prob) {
            return (1.0, None);
        }
        let cuts = self.cutmix_alpha > 0.0 || self.cutmix_minmax.is_some();
        if !(cuts && (self.mixup_alpha == 0.0 || chance(rng, self.switch_prob))) {
            return (beta(self.mixup_alpha, rng) as f32, None);
        }
        let area = match self.cutmix_minmax {
            Some(minmax) => {
                let mut side = |side: usize| {
                    let [low, high] = minmax.map(|share| (share * side as f64) as usize);
                    if low < high { rng.random_range(low..high) } else { low }
                };
                let cut = Size { height: side(size.height), width: side(size.width) };
                Rectangle {
                    top: rng.random_range(0..=size.height - cut.height),
                    left: rng.random_range(0..=size.width - cut.width),
                    size: cut,
                }
            }
            None => {
                let side_share = (1.0 - beta(self.cutmix_alpha, rng)).sqrt();
                let mut span = |side: usize| {
                    let length = (side as f64 * side_share) as usize;
                    let centre = rng.random_range(0..side);
                    (centre.saturating_sub(length / 2), (centre + length.div_ceil(2)).min(side))
                };
                let ((top, bottom), (left, right)) = (span(size.height), span(size.width));
                Rectangle { top, left, size: Size { height: bottom - top, width: right - left } }
            }
        };
        // The weight follows from the clipped rectangle, not from the draw (timm's `correct_lam`).
        (1.0 - area.size.pixels() as f32 / size.pixels() as f32, Some(area))
    }
}

/// Draws from the symmetric Beta distribution.
fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    match Beta::new(alpha, alpha) {
        Ok(distribution) => {
            let draw: f64 = distribution.sample(rng);
            // A tiny alpha can give 0 / 0: then one of the two has all the weight.
            if draw.is_finite() { draw } else { f64::from(u8::from(chance(rng, 0.5))) }
        }
        Err(_) => 1.0, // impossible for an alpha above 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    const SIZE: Size = Size { height: 40, width: 60 };

    fn draws(config: &MixConfig) -> Vec<RowMix> {
        config.validate().unwrap();
        (0..4000).flat_map(|batch| config.draw(4, SIZE, &mut keyed(0, 0, batch, 0))).collect()
    }

    #[test]
    fn weights_follow_their_beta_distribution() {
        let alpha = 0.4;
        let rows = draws(&MixConfig { mixup_alpha: alpha, mode: MixMode::Elem, ..Default::default() });
        let n = rows.len() as f64;
        let mean = rows.iter().map(|row| f64::from(row.own)).sum::<f64>() / n;
        let variance = rows.iter().map(|row| (f64::from(row.own) - mean).powi(2)).sum::<f64>() / n;
        let expected = 0.25 / (2.0 * alpha + 1.0);
        assert!((mean - 0.5).abs() < 0.012 && (variance / expected - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn the_switch_and_the_probability_hold() {
        let config = MixConfig {
            mixup_alpha: 0.8,
            cutmix_alpha: 1.0,
            prob: 0.6,
            switch_prob: 0.25,
            mode: MixMode::Elem,
            ..Default::default()
        };
        let rows = draws(&config);
        let mixed = rows.iter().filter(|row| row.own < 1.0 || row.area.is_some()).count() as f64 / rows.len() as f64;
        let cut = rows.iter().filter(|row| row.area.is_some()).count() as f64 / rows.len() as f64;
        assert!((mixed - 0.6).abs() < 0.016 && (cut - 0.15).abs() < 0.012, "{mixed} {cut}");
    }

    #[test]
    fn boxes_lie_inside_and_weigh_their_area() {
        let alpha = MixConfig { cutmix_alpha: 1.0, mode: MixMode::Pair, ..Default::default() };
        let minmax = MixConfig { cutmix_minmax: Some([0.2, 0.8]), ..Default::default() };
        for (config, low, high) in [(alpha, 0, 40), (minmax, 8, 31)] {
            let rows = draws(&config);
            for row in &rows {
                let area = row.area.unwrap();
                assert!(area.top + area.size.height <= 40 && area.left + area.size.width <= 60);
                assert!((low..=high).contains(&area.size.height), "{area:?}");
                assert!((row.own - (1.0 - area.size.pixels() as f32 / 2400.0)).abs() < 1e-6);
            }
            assert!(rows.chunks(4).all(|rows| rows[0].area == rows[3].area && rows[0].own == rows[3].own));
        }
    }

    #[test]
    fn bad_parameters_and_tiny_alphas() {
        for (config, field) in [
            (MixConfig::default(), "mixup_alpha"),
            (MixConfig { mixup_alpha: -1.0, ..Default::default() }, "mixup_alpha"),
            (MixConfig { cutmix_minmax: Some([0.5, 0.2]), ..Default::default() }, "cutmix_minmax"),
            (MixConfig { mixup_alpha: 1.0, prob: 1.5, ..Default::default() }, "prob"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(matches!(&error, Error::BadValue { field: f, .. } if *f == field), "{error}");
        }
        let rows = draws(&MixConfig { mixup_alpha: 1e-300, ..Default::default() });
        assert!(rows.iter().all(|row| (0.0..=1.0).contains(&row.own)));
        assert!(MixConfig { mixup_alpha: 1.0, ..Default::default() }.draw(0, SIZE, &mut keyed(0, 0, 0, 0)).is_empty());
    }
}
