//! Softmax over rows, and the cross-entropy that trains a classifier.

use rayon::prelude::*;

use super::CHUNK;
use super::activation::functions::exp;
use super::isa::vectorised;
use super::loops::{TwoSteps, reduce, sum};
use super::memory::{Slot, Uninit, assume_written};

/// `e^(x − max) / Σ e^(x − max)` over each row of `k` values.
///
/// # Panics
/// If `k` is 0 or does not divide the values.
pub fn forward(x: &[f32], k: usize) -> Vec<f32> {
    assert!(k > 0 && x.len().is_multiple_of(k), "rows of {k} values");
    let block = rows_per_block(k) * k;
    let mut y = Uninit::new(x.len());
    y.slots().par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| softmax_block(y, x, k));
    // SAFETY: `softmax_block` wrote every row.
    unsafe { y.finish() }
}

/// The gradient of `x`, from the result `y` and its gradient `dy`: `y · (dy − Σ dy·y)`.
///
/// # Panics
/// If `k` is 0 or does not divide the values, or `y` and `dy` differ in length.
pub fn backward(y: &[f32], dy: &[f32], k: usize) -> Vec<f32> {
    assert!(k > 0 && y.len().is_multiple_of(k), "rows of {k} values");
    assert_eq!(y.len(), dy.len(), "one gradient for each value");
    let block = rows_per_block(k) * k;
    let mut dx = Uninit::new(dy.len());
    let tasks = dx.slots().par_chunks_mut(block).zip(dy.par_chunks(block)).zip(y.par_chunks(block));
    tasks.for_each(|((dx, dy), y)| softmax_backward(dx, dy, y, k));
    // SAFETY: `softmax_backward` wrote every row.
    unsafe { dx.finish() }
}

/// `Σ −target · ln softmax(logits)` over all rows of `k` classes, and `softmax(logits)`, which the gradient needs.
///
/// # Panics
/// If `k` is 0 or does not divide the values, or the two differ in length.
pub fn cross_entropy(logits: &[f32], targets: &[f32], k: usize) -> (f64, Vec<f32>) {
    assert_eq!(logits.len(), targets.len(), "one target for each logit");
    let probabilities = forward(logits, k);
    let block = rows_per_block(k) * k;
    let parts: Vec<f64> =
        logits.par_chunks(block).zip(targets.par_chunks(block)).map(|(z, t)| loss_sum(z, t, k)).collect();
    (parts.iter().sum(), probabilities)
}

/// The gradient of the logits of [`cross_entropy`], times `scale`: `softmax(logits) · Σ targets − targets`.
///
/// # Panics
/// If `k` is 0, or the two differ in length.
pub fn logit_grad(probabilities: &[f32], targets: &[f32], k: usize, scale: f32) -> Vec<f32> {
    assert_eq!(probabilities.len(), targets.len(), "one target for each logit");
    let mut grad = vec![0f32; probabilities.len()];
    let rows = grad.par_chunks_mut(k).zip(probabilities.par_chunks(k)).zip(targets.par_chunks(k));
    rows.with_min_len(rows_per_block(k)).for_each(|((dz, p), t)| {
        let total: f32 = t.iter().sum();
        for ((dz, p), t) in dz.iter_mut().zip(p).zip(t) {
            *dz = scale * (p * total - t);
        }
    });
    grad
}

/// The gradient of the targets of [`cross_entropy`], times `scale`: `−ln softmax(logits)`.
///
/// # Panics
/// If `k` is 0.
pub fn target_grad(logits: &[f32], k: usize, scale: f32) -> Vec<f32> {
    let mut grad = Vec::with_capacity(logits.len());
    for z in logits.chunks_exact(k) {
        let log_sum = log_sum_exp(z);
        grad.extend(z.iter().map(|z| scale * (log_sum - f64::from(*z)) as f32));
    }
    grad
}

fn rows_per_block(k: usize) -> usize {
    (CHUNK / k).max(1)
}

vectorised! {
    fn softmax_block(y: &mut [Slot], x: &[f32], k: usize) {
        for (y, x) in y.chunks_exact_mut(k).zip(x.chunks_exact(k)) {
            let max = reduce([x], f32::NEG_INFINITY, |[x]| x, |a, b| if b > a { b } else { a });
            for (y, x) in y.iter_mut().zip(x) {
                y.write(exp::<M>(x - max));
            }
            // SAFETY: the loop above wrote all `k` of them.
            let y = unsafe { assume_written(y) };
            let scale = 1.0 / sum([&*y], |[y]| y);
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

vectorised! {
    fn softmax_backward(dx: &mut [Slot], dy: &[f32], y: &[f32], k: usize) {
        for ((dx, dy), y) in dx.chunks_exact_mut(k).zip(dy.chunks_exact(k)).zip(y.chunks_exact(k)) {
            for i in 0..k {
                dx[i].write(dy[i] * y[i]);
            }
            // SAFETY: the loop above wrote all `k` of them.
            let dx = unsafe { assume_written(dx) };
            let dot = sum([&*dx], |[dx]| dx);
            for i in 0..k {
                dx[i] = y[i] * (dy[i] - dot);
            }
        }
    }
}
