//! Softmax over the last dimension, and the cross-entropy that trains a classifier.

use std::sync::{Arc, OnceLock};

use candle_core::Tensor;
use rayon::prelude::*;

use super::activation::curves::exp;
use super::elementwise::CHUNK;
use super::memory::{Uninit, contiguous, values};
use super::vectorised::{TwoSteps, reduce, sum, vectorised};
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::tape::{Backward, Output, emit};

/// `e^(x − max) / Σ e^(x − max)` over the last dimension.
///
/// # Shapes
/// `x` `[.., k]`; the result as `x`, contiguous.
///
/// # Errors
/// A scalar, or `k = 0`; a tensor that is not f32 on the CPU.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "softmax";
    let k = last_dim(OP, x)?;
    let rows = contiguous(x)?;
    let probabilities = softmax_rows(&values(OP, &rows)?, k);
    // The backward needs the result: it shares the tensor's storage, once there is one.
    let saved = Arc::new(OnceLock::new());
    let y = emit(Output::contiguous(probabilities, x.dims()), &[x], Softmax { y: saved.clone(), k })?;
    let _ = saved.set(y.detach());
    Ok(record(y, &[x], || Op::Softmax))
}

/// The mean over the batch of `−Σ target · ln softmax(logits)`.
///
/// # Shapes
/// `logits` and `targets` `[n, k]`, the targets soft probabilities (one-hot, smoothed or mixed);
/// the result is a scalar.
///
/// # Errors
/// Shapes that differ or an empty batch; a tensor that is not f32 on the CPU.
///
/// # Source
/// PyTorch's `cross_entropy` with probabilities as targets.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    const OP: &str = "cross_entropy";
    if logits.rank() != 2 || logits.dims() != targets.dims() || logits.elem_count() == 0 {
        let found = format!("logits {:?}, targets {:?}", logits.dims(), targets.dims());
        return Err(Error::input(OP, "logits and targets, both [n, k] and not empty", found));
    }
    let (n, k) = logits.dims2()?;
    let (z, t) = (contiguous(logits)?, contiguous(targets)?);
    let (loss, probabilities) = {
        let (z, t) = (values(OP, &z)?, values(OP, &t)?);
        let probabilities = softmax_rows(&z, k);
        let block = rows_per_block(k) * k;
        let parts: Vec<f64> = z.par_chunks(block).zip(t.par_chunks(block)).map(|(z, t)| loss_sum(z, t, k)).collect();
        (parts.iter().sum::<f64>() / n as f64, probabilities)
    };
    let op = CrossEntropy { probabilities, logits: z, targets: t };
    emit(Output::contiguous(vec![loss as f32], &[]), &[logits, targets], op)
}

fn last_dim(op: &'static str, x: &Tensor) -> Result<usize> {
    match x.dims().last() {
        Some(&k) if k > 0 => Ok(k),
        _ => Err(Error::input(op, "[.., k] with k > 0", format!("{:?}", x.dims()))),
    }
}

fn rows_per_block(k: usize) -> usize {
    (CHUNK / k).max(1)
}

fn softmax_rows(x: &[f32], k: usize) -> Vec<f32> {
    let block = rows_per_block(k) * k;
    let mut data = Uninit::new(x.len());
    // SAFETY: `softmax_block` writes every row.
    let out = unsafe { data.as_mut_slice() };
    out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| softmax_block(y, x, k));
    // SAFETY: written above.
    unsafe { data.finish() }
}

vectorised! {
    fn softmax_block(y: &mut [f32], x: &[f32], k: usize) {
        for (y, x) in y.chunks_exact_mut(k).zip(x.chunks_exact(k)) {
            let max = reduce([x], f32::NEG_INFINITY, |[x]| x, |a, b| if b > a { b } else { a });
            for (y, x) in y.iter_mut().zip(x) {
                *y = exp::<M>(x - max);
            }
            let scale = 1.0 / sum([y], |[y]| y);
            for y in y.iter_mut() {
                *y *= scale;
            }
        }
    }
}

/// ln Σ eˣ of a row.
fn log_sum_exp(row: &[f32]) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + row.iter().map(|x| f64::from(exp::<TwoSteps>(x - max))).sum::<f64>().ln()
}

fn loss_sum(z: &[f32], t: &[f32], k: usize) -> f64 {
    let mut total = 0.0;
    for (z, t) in z.chunks_exact(k).zip(t.chunks_exact(k)) {
        let log_sum = log_sum_exp(z);
        // Where the target is zero, a logit of −∞ (a class masked out) costs nothing.
        let pairs = z.iter().zip(t).filter(|(_, t)| **t != 0.0);
        total += pairs.map(|(z, t)| f64::from(*t) * (log_sum - f64::from(*z))).sum::<f64>();
    }
    total
}

struct Softmax {
    y: Arc<OnceLock<Tensor>>,
    k: usize,
}

impl Backward for Softmax {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let dy = values("softmax", &grad)?;
        let y = self.y.get().ok_or(Error::NotRecorded)?;
        let y = values("softmax", y)?;
        let block = rows_per_block(self.k) * self.k;
        let mut data = Uninit::new(dy.len());
        // SAFETY: `softmax_backward` writes every row.
        let out = unsafe { data.as_mut_slice() };
        out.par_chunks_mut(block)
            .zip(dy.par_chunks(block))
            .zip(y.par_chunks(block))
            .for_each(|((dx, dy), y)| softmax_backward(dx, dy, y, self.k));
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        Ok(vec![Some(Output::contiguous(data, grad.dims()).into_tensor()?)])
    }
}

vectorised! {
    fn softmax_backward(dx: &mut [f32], dy: &[f32], y: &[f32], k: usize) {
        for ((dx, dy), y) in dx.chunks_exact_mut(k).zip(dy.chunks_exact(k)).zip(y.chunks_exact(k)) {
            for i in 0..k {
                dx[i] = dy[i] * y[i];
            }
            let dot = sum([dx], |[dx]| dx);
            for i in 0..k {
                dx[i] = y[i] * (dy[i] - dot);
            }
        }
    }
}

struct CrossEntropy {
    probabilities: Vec<f32>,
    logits: Tensor,
    targets: Tensor,
}

impl Backward for CrossEntropy {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        const OP: &str = "cross_entropy";
        let (n, k) = self.logits.dims2()?;
        let scale = grad.to_scalar::<f32>()? / n as f32;
        let t = values(OP, &self.targets)?;
        let dlogits = needs[0].then(|| {
            let mut data = vec![0f32; n * k];
            let rows = data.par_chunks_mut(k).zip(self.probabilities.par_chunks(k)).zip(t.par_chunks(k));
            rows.with_min_len(rows_per_block(k)).for_each(|((dz, p), t)| {
                let total: f32 = t.iter().sum();
                for ((dz, p), t) in dz.iter_mut().zip(p).zip(t) {
                    *dz = scale * (p * total - t);
                }
            });
            Output::contiguous(data, &[n, k]).into_tensor()
        });
        let dtargets = needs[1].then(|| {
            let z = values(OP, &self.logits)?;
            let mut data = Vec::with_capacity(n * k);
            for z in z.chunks_exact(k) {
                let log_sum = log_sum_exp(z);
                data.extend(z.iter().map(|z| scale * (log_sum - f64::from(*z)) as f32));
            }
            Output::contiguous(data, &[n, k]).into_tensor()
        });
        Ok(vec![dlogits.transpose()?, dtargets.transpose()?])
    }
}
