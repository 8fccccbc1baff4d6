//! Losses with an explicit gradient: the loss and the gradient of each row are computed together, in double precision.

use candle_core::Tensor;
use rayon::prelude::*;
use tallow_nn::tape::{Backward, Output, emit};

use super::Targets;
use crate::{Error, Result};

/// Records a scalar `loss` whose gradient by the logits is `gradient`: a loss of your own need not be written in tensor
/// operations.
///
/// # Shapes
/// `gradient` row-major, as many values as `logits`.
///
/// # Errors
/// Another number of values.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor, Var};
/// # fn main() -> tallow_optim::Result<()> {
/// let logits = Var::new(&[[1f32, -2.0]], &Device::Cpu)?;
/// let tape = tallow_nn::Tape::start();
/// // The sum of squares: 1 + 4, with the gradient 2·z.
/// let loss = tallow_optim::loss::with_gradient(&logits, 5.0, vec![2.0, -4.0])?;
/// let grads = tape.backward(&loss)?;
/// assert_eq!(grads.get(&logits).unwrap().to_vec2::<f32>()?, [[2.0, -4.0]]);
/// # Ok(()) }
/// ```
pub fn with_gradient(logits: &Tensor, loss: f64, gradient: Vec<f32>) -> Result<Tensor> {
    if gradient.len() != logits.elem_count() {
        let expected = format!("a gradient of {} values", logits.elem_count());
        return Err(Error::Labels { expected, found: gradient.len().to_string() });
    }
    let op = Gradient { values: gradient, dims: logits.dims().to_vec() };
    Ok(emit(Output::contiguous(vec![loss as f32], &[]), &[logits], op)?)
}

struct Gradient {
    values: Vec<f32>,
    dims: Vec<usize>,
}

impl Backward for Gradient {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> tallow_nn::Result<Vec<Option<Tensor>>> {
        let scale = grad.to_scalar::<f32>()?;
        let values = self.values.iter().map(|value| scale * value).collect();
        Ok(vec![Some(Output::contiguous(values, &self.dims).into_tensor(grad.device())?)])
    }
}

/// The (weighted) mean over rows of `row(logits, target, gradient)`, which returns the loss of a row and fills in its
/// gradient, given as zeros.
///
/// # Shapes
/// `logits` `[n, k]`, `targets` `n × k`, `weights` `n`.
pub(super) fn mean(
    logits: &Tensor,
    targets: &[f32],
    weights: Option<&[f32]>,
    row: impl Fn(&[f64], &[f64], &mut [f64]) -> f64 + Sync,
) -> Result<Tensor> {
    let (n, k) = logits.dims2()?;
    let total: f64 = weights.map_or(n as f64, |weights| weights.iter().map(|&w| f64::from(w)).sum());
    let total = total.max(f64::MIN_POSITIVE);
    let values = logits.detach().flatten_all()?.to_vec1::<f32>()?;
    let mut gradient = vec![0f32; n * k];
    let width = k.max(1);
    let losses: Vec<f64> = gradient
        .par_chunks_mut(width)
        .zip(values.par_chunks(width))
        .zip(targets.par_chunks(width))
        .enumerate()
        .with_min_len((4096 / width).max(1))
        .map(|(i, ((gradient, z), t))| {
            let wide = |row: &[f32]| row.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
            let share = weights.map_or(1.0, |weights| f64::from(weights[i])) / total;
            let mut dz = vec![0f64; width];
            let loss = row(&wide(z), &wide(t), &mut dz);
            for (gradient, dz) in gradient.iter_mut().zip(dz) {
                *gradient = (share * dz) as f32;
            }
            share * loss
        })
        .collect();
    with_gradient(logits, losses.iter().sum(), gradient)
}

/// The targets' rows with the share `smoothing` of each spread evenly over all classes.
pub(super) fn smoothed(targets: Targets<'_>, n: usize, classes: usize, smoothing: f64) -> Result<Vec<f32>> {
    let mut rows = targets.rows(n, classes)?;
    if smoothing > 0.0 {
        let rest = smoothing / classes.max(1) as f64;
        for target in &mut rows {
            *target = (f64::from(*target) * (1.0 - smoothing) + rest) as f32;
        }
    }
    Ok(rows)
}

/// ln softmax(z).
pub(super) fn log_softmax(z: &[f64]) -> Vec<f64> {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    z.iter().map(|z| z - log_sum).collect()
}

/// Turns the gradient by the probabilities `p` of a softmax into that by its logits, in place.
pub(super) fn through_softmax(p: &[f64], dp: &mut [f64]) {
    let dot: f64 = p.iter().zip(dp.iter()).map(|(p, dp)| p * dp).sum();
    for (p, dp) in p.iter().zip(dp) {
        *dp = p * (*dp - dot);
    }
}

/// `−Σ t·ln p` and its gradient by the logits, added to `dz` with the factor `share`.
pub(super) fn cross_entropy(log_p: &[f64], t: &[f64], share: f64, dz: &mut [f64]) -> f64 {
    let total: f64 = t.iter().sum();
    let mut loss = 0.0;
    for ((log_p, t), dz) in log_p.iter().zip(t).zip(dz) {
        if *t != 0.0 {
            loss -= t * log_p;
        }
        *dz += share * (total * log_p.exp() - t);
    }
    share * loss
}

/// 1 / (1 + e^−z).
pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// ln(1 + e^z), without overflow.
pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `x^y` with `x^0 = 1` and, for a negative exponent of nothing, 0: where torch gives an infinite gradient.
pub(super) fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        1.0
    } else if x <= 0.0 {
        0.0
    } else {
        x.powf(y)
    }
}
