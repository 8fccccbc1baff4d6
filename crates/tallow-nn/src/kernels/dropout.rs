//! Dropout of single values and of whole residual branches.

use candle_core::Tensor;
use rand::RngCore as _;
use rayon::prelude::*;

use super::elementwise::CHUNK;
use super::map::Laid;
use super::memory::{Uninit, values};
use super::vectorised::vectorised;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tape::{Backward, emit};

/// Zeroes each value with probability `p` and scales the others by `1 / (1 − p)`.
///
/// Which values is decided by `rng` and their place in memory alone. `p` counts in steps of 2⁻¹⁶;
/// `p = 0` gives `x` itself.
///
/// # Shapes
/// Any.
///
/// # Errors
/// `p` outside [0, 1]; a tensor that is not f32 on the CPU.
///
/// # Source
/// Srivastava et al. 2014.
pub fn dropout(x: &Tensor, p: f32, rng: Rng) -> Result<Tensor> {
    const OP: &str = "dropout";
    check_probability(OP, p)?;
    if p == 0.0 {
        return Ok(x.clone());
    }
    let laid = Laid::new(x)?;
    let scale = scale(p);
    let (data, kept) = {
        let x = values(OP, &laid.memory)?;
        let mut kept = vec![0u32; x.len().div_ceil(32)];
        let mut data = Uninit::new(x.len());
        // SAFETY: `apply` writes every value.
        let out = unsafe { data.as_mut_slice() };
        let tasks = out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(kept.par_chunks_mut(CHUNK / 32));
        tasks.enumerate().for_each(|(i, ((y, x), kept))| {
            draw(kept, p, &rng, i * CHUNK);
            apply(y, x, kept, scale);
        });
        // SAFETY: written above.
        (unsafe { data.finish() }, kept)
    };
    let output = laid.output(data)?;
    emit(output, &[x], Dropout { kept, scale, shape: laid })
}

/// Zeroes each sample of the batch with probability `p` and scales the others by `1 / (1 − p)`.
///
/// # Shapes
/// `[n, ..]`.
///
/// # Errors
/// `p` outside [0, 1]; a scalar; a tensor that is not f32 on the CPU.
///
/// # Source
/// Stochastic depth, Huang et al. 2016; timm's `drop_path`.
pub fn drop_path(x: &Tensor, p: f32, mut rng: Rng) -> Result<Tensor> {
    const OP: &str = "drop_path";
    check_probability(OP, p)?;
    if p == 0.0 {
        return Ok(x.clone());
    }
    let Some(&n) = x.dims().first() else {
        return Err(Error::input(OP, "[n, ..]", "a scalar"));
    };
    let factors: Vec<f32> = (0..n).map(|_| if keeps(rng.next_u32(), p) { scale(p) } else { 0.0 }).collect();
    let laid = Laid::new(x)?;
    let data = scale_samples(OP, &laid.memory, &factors)?;
    let output = laid.output(data)?;
    emit(output, &[x], DropPath { factors, shape: laid })
}

/// Refuses what is not a probability.
pub(crate) fn check_probability(op: &'static str, p: f32) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::Config { op, reason: format!("the probability {p} lies outside 0 to 1") })
}

fn scale(p: f32) -> f32 {
    if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 }
}

/// Whether a uniform draw keeps its value.
#[inline(always)]
fn keeps(draw: u32, p: f32) -> bool {
    f64::from(draw) >= f64::from(p) * 4_294_967_296.0
}

/// Fills `kept` with one bit a value, from the generator's value number `first` on: 16 random bits each.
fn draw(kept: &mut [u32], p: f32, rng: &Rng, first: usize) {
    let mut rng = rng.clone();
    rng.set_word_pos(rng.get_word_pos() + first as u128 / 2);
    let limit = (p * 65536.0).round() as u32;
    let mut bytes = [0u8; 2 * 32];
    for word in kept {
        rng.fill_bytes(&mut bytes);
        let mut bits = 0u32;
        for (i, draw) in bytes.as_chunks::<2>().0.iter().enumerate() {
            bits |= u32::from(u32::from(u16::from_le_bytes(*draw)) >= limit) << i;
        }
        *word = bits;
    }
}

vectorised! {
    fn apply(y: &mut [f32], x: &[f32], kept: &[u32], scale: f32) {
        let mut factors = [0f32; 32];
        for ((y, x), bits) in y.chunks_mut(32).zip(x.chunks(32)).zip(kept) {
            for (i, factor) in factors.iter_mut().enumerate() {
                // The scale where the bit is set, 0 elsewhere: a branch would be mispredicted.
                *factor = f32::from_bits(scale.to_bits() & (bits >> i & 1).wrapping_neg());
            }
            for ((y, x), factor) in y.iter_mut().zip(x).zip(&factors) {
                *y = x * factor;
            }
        }
    }
}

struct Dropout {
    /// One bit a value, in the order of memory.
    kept: Vec<u32>,
    scale: f32,
    shape: Laid,
}

impl Backward for Dropout {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = self.shape.alike(grad)?;
        let dy = values("dropout", &grad)?;
        let mut data = Uninit::new(dy.len());
        // SAFETY: `apply` writes every value.
        let out = unsafe { data.as_mut_slice() };
        out.par_chunks_mut(CHUNK)
            .zip(dy.par_chunks(CHUNK))
            .zip(self.kept.par_chunks(CHUNK / 32))
            .for_each(|((dx, dy), kept)| apply(dx, dy, kept, self.scale));
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        Ok(vec![Some(self.shape.output(data)?.into_tensor()?)])
    }
}

struct DropPath {
    /// What each sample is multiplied by.
    factors: Vec<f32>,
    shape: Laid,
}

impl Backward for DropPath {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let data = scale_samples("drop_path", &self.shape.alike(grad)?, &self.factors)?;
        Ok(vec![Some(self.shape.output(data)?.into_tensor()?)])
    }
}

fn scale_samples(op: &'static str, x: &Tensor, factors: &[f32]) -> Result<Vec<f32>> {
    let x = values(op, x)?;
    let mut data = vec![0f32; x.len()];
    let len = x.len().checked_div(factors.len()).unwrap_or(0);
    if len > 0 {
        data.par_chunks_mut(len).zip(x.par_chunks(len)).zip(factors).for_each(|((y, x), factor)| {
            if *factor != 0.0 {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = x * factor;
                }
            }
        });
    }
    Ok(data)
}
