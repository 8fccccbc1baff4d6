//! Dropout of single values and of whole residual branches.

use candle_core::Tensor;
use rand::RngCore as _;
use tallow_kernels::cpu::dropout;

use super::on_cpu;
use crate::error::{Error, Result};
use crate::memory::Dense;
use crate::rng::Rng;
use crate::tape::{Backward, emit};

/// Zeroes each value with probability `p` and scales the others by `1 / (1 − p)`.
///
/// `rng` and a value's position in memory decide whether it is kept. `p` counts in steps of 2⁻¹⁶;
/// `p = 0` returns `x` itself.
///
/// # Shapes
/// Any.
///
/// # Errors
/// `p` outside [0, 1]; a tensor that is not f32.
///
/// # Source
/// Srivastava et al. 2014.
pub fn dropout(x: &Tensor, p: f32, rng: Rng) -> Result<Tensor> {
    const OP: &str = "dropout";
    check_probability(OP, p)?;
    if p == 0.0 {
        return Ok(x.clone());
    }
    let dense = Dense::new(x)?;
    let scale = scale(p);
    let (data, kept) =
        on_cpu(OP, [&dense.memory], |[x]| dropout::forward(x, scale, |first, bits| draw(bits, p, &rng, first)))?;
    let output = dense.output(data)?;
    emit(output, &[x], Dropout { kept, scale, order: dense })
}

/// Zeroes each sample of the batch with probability `p` and scales the others by `1 / (1 − p)`.
///
/// # Shapes
/// `[n, ..]`.
///
/// # Errors
/// `p` outside [0, 1]; a scalar; a tensor that is not f32.
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
    let dense = Dense::new(x)?;
    let data = on_cpu(OP, [&dense.memory], |[x]| dropout::scale_samples(x, &factors))?;
    let output = dense.output(data)?;
    emit(output, &[x], DropPath { factors, order: dense })
}

/// Refuses a number that is no probability.
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

/// Fills `kept` with one bit for each value, from the generator's value number `first` on: 16 random bits each.
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

struct Dropout {
    /// One bit for each value, in the order of memory.
    kept: Vec<u32>,
    scale: f32,
    order: Dense,
}

impl Backward for Dropout {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = self.order.in_same_order(grad)?;
        let dx = on_cpu("dropout", [&grad], |[dy]| dropout::backward(dy, &self.kept, self.scale))?;
        Ok(vec![Some(self.order.output(dx)?.into_tensor(grad.device())?)])
    }
}

struct DropPath {
    /// The factor of each sample.
    factors: Vec<f32>,
    order: Dense,
}

impl Backward for DropPath {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = self.order.in_same_order(grad)?;
        let dx = on_cpu("drop_path", [&grad], |[dy]| dropout::scale_samples(dy, &self.factors))?;
        Ok(vec![Some(self.order.output(dx)?.into_tensor(grad.device())?)])
    }
}
