//! DropBlock: in training, square regions of a feature map are dropped, where dropout drops single values.
//!
//! `y = x · mask · (values / values kept)`, the mask shared by all channels of a sample. No parameters; nothing in
//! evaluation.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tallow_nn::{Mode, layers::DropBlock2d};
//! # fn main() -> tallow_nn::Result<()> {
//! let drop = DropBlock2d::new(0.2, 3)?;
//! let x = Tensor::ones((2, 4, 8, 8), DType::F32, &Device::Cpu)?;
//! let y = drop.forward(&x, &Mode::train(0, 0))?;
//! assert!(y.min_all()?.to_scalar::<f32>()? == 0.0 && y.max_all()?.to_scalar::<f32>()? > 1.0);
//! # Ok(()) }
//! ```

use candle_core::Tensor;
use rand::Rng as _;

use crate::error::{Error, Result};
use crate::mode::Mode;
use crate::op::check_probability;

/// Drops blocks of a feature map in training.
///
/// # Source
/// Ghiasi et al. 2018; timm's `DropBlock2d` (one mask for all channels, scaled by what is kept of the batch).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropBlock2d {
    p: f32,
    block_size: usize,
    gamma_scale: f32,
}

impl DropBlock2d {
    /// Drops about the share `p` of each map, in blocks of `block_size` pixels a side (of the map's side at most).
    ///
    /// # Errors
    /// `p` outside [0, 1]; a `block_size` of 0.
    pub fn new(p: f32, block_size: usize) -> Result<Self> {
        check_probability("DropBlock2d", p)?;
        if block_size == 0 {
            return Err(Error::Config {
                op: "DropBlock2d",
                reason: "block_size must be 1 or more, found 0".to_owned(),
            });
        }
        Ok(DropBlock2d { p, block_size, gamma_scale: 1.0 })
    }

    /// Multiplies the number of blocks: timm's `gamma_scale`.
    pub fn with_gamma_scale(self, gamma_scale: f32) -> Self {
        DropBlock2d { gamma_scale, ..self }
    }

    /// Drops blocks of `x`. In evaluation, or with `p = 0`, returns `x` itself.
    ///
    /// # Shapes
    /// `[n, c, h, w]` → the same.
    ///
    /// # Errors
    /// Another rank.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let Some(mut rng) = mode.next_rng(self.p) else {
            return Ok(x.clone());
        };
        let &[n, _, h, w] = x.dims() else {
            return Err(Error::input("DropBlock2d", "[n, c, h, w]", format!("{:?}", x.dims())));
        };
        let (kh, kw) = (self.block_size.min(h), self.block_size.min(w));
        let places = ((h - kh + 1) * (w - kw + 1)) as f64;
        let seed_rate =
            (f64::from(self.gamma_scale * self.p) * (h * w) as f64 / (kh * kw) as f64 / places).clamp(0.0, 1.0);
        let seeds: Vec<bool> = (0..n * h * w).map(|_| rng.random_bool(seed_rate)).collect();
        let keep = keep_mask(&seeds, (n, h, w), (kh, kw));
        let kept = keep.iter().filter(|keep| **keep).count();
        let scale = (keep.len() as f64 / (kept as f64 + 1e-7)) as f32;
        let mask = keep.iter().map(|&keep| if keep { scale } else { 0.0 }).collect::<Vec<f32>>();
        Ok(x.broadcast_mul(&Tensor::from_vec(mask, (n, 1, h, w), x.device())?)?)
    }
}

/// The pixels that stay when a block around each seed is dropped. Blocks of an even side reach one pixel further up and
/// left.
fn keep_mask(seeds: &[bool], (n, h, w): (usize, usize, usize), (kh, kw): (usize, usize)) -> Vec<bool> {
    let mut keep = vec![true; seeds.len()];
    for sample in 0..n {
        for y in 0..h {
            for x in 0..w {
                if !seeds[(sample * h + y) * w + x] {
                    continue;
                }
                for dy in (y.saturating_sub(kh / 2))..(y + kh.div_ceil(2)).min(h) {
                    let row = (sample * h + dy) * w;
                    keep[row + x.saturating_sub(kw / 2)..row + (x + kw.div_ceil(2)).min(w)].fill(false);
                }
            }
        }
    }
    keep
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    // timm.layers.drop.drop_block_2d(torch.ones(1, 1, 5, 5), block_size=k) with bernoulli_ patched to seed the pixels
    // (1, 1) and (4, 3); 1 where kept.
    #[test]
    fn blocks_lie_where_timms_do() {
        for (k, expected) in RECORDED {
            let mut seeds = vec![false; 25];
            (seeds[6], seeds[23]) = (true, true);
            // `forward` makes no block larger than the map.
            let keep = keep_mask(&seeds, (1, 5, 5), (k.min(5), k.min(5)));
            let rows: Vec<String> =
                keep.chunks(5).map(|row| row.iter().map(|keep| if *keep { '1' } else { '0' }).collect()).collect();
            assert_eq!(rows.join(" "), expected, "block size {k}");
        }
    }

    #[test]
    fn the_mean_is_kept_about_p_is_dropped_and_gradients_follow_the_mask() -> Result<()> {
        let x = candle_core::Var::ones((16, 3, 16, 16), DType::F32, &Device::Cpu)?;
        let tape = crate::Tape::start();
        let y = DropBlock2d::new(0.1, 5)?.forward(&x, &Mode::train(1, 2))?;
        let values = y.flatten_all()?.to_vec1::<f32>()?;
        let dropped = values.iter().filter(|y| **y == 0.0).count() as f64 / values.len() as f64;
        assert!((0.05..0.2).contains(&dropped), "{dropped}");
        let mean = values.iter().map(|&y| f64::from(y)).sum::<f64>() / values.len() as f64;
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
        let grads = tape.backward(&y.sum_all()?)?;
        let gradient = grads.get(&x).ok_or(Error::NotRecorded)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(gradient, values);
        let same = DropBlock2d::new(0.1, 5)?.forward(&x, &Mode::train(1, 2))?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(same, values);
        assert_eq!(DropBlock2d::new(0.1, 5)?.forward(&x, &Mode::eval())?.min_all()?.to_scalar::<f32>()?, 1.0);
        assert!(DropBlock2d::new(1.5, 5).is_err() && DropBlock2d::new(0.1, 0).is_err());
        Ok(())
    }

    const RECORDED: [(usize, &str); 5] = [
        (1, "11111 10111 11111 11111 11101"),
        (2, "00111 00111 11111 11001 11001"),
        (3, "00011 00011 00011 11000 11000"),
        (4, "00011 00011 00000 10000 10000"),
        (7, "00001 00001 00000 00000 10000"),
    ];
}
