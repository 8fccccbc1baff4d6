//! LayerNorm over the rows of a matrix: each row is normalised while it lies in the cache.

use rayon::prelude::*;

use super::columns::combine;
use crate::cpu::CHUNK;
use crate::cpu::isa::vectorised;
use crate::cpu::loops::sum;
use crate::cpu::memory::{Slot, Uninit};

/// `(x − mean) / √(var + eps) · gamma + beta` with the mean and variance of each row of `gamma.len()` values; and each
/// row's mean and 1/σ.
///
/// # Panics
/// If `gamma` is empty or does not divide `x`, or `beta` has another length.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32) -> (Vec<f32>, Vec<[f32; 2]>) {
    let d = gamma.len();
    assert!(d > 0 && x.len().is_multiple_of(d) && beta.len() == d, "rows of {d} values, and as many of beta");
    let rows = rows_per_block(d);
    let mut y = Uninit::new(x.len());
    let mut stats = vec![[0f32; 2]; x.len() / d];
    let tasks = y.slots().par_chunks_mut(rows * d).zip(x.par_chunks(rows * d)).zip(stats.par_chunks_mut(rows));
    tasks.for_each(|((y, x), stats)| normalise(y, x, stats, gamma, beta, eps));
    // SAFETY: `normalise` wrote every row.
    (unsafe { y.finish() }, stats)
}

/// The gradients of [`layer_norm`].
pub struct LayerNormGradients {
    /// That of `x`.
    pub x: Vec<f32>,
    /// That of `gamma`.
    pub gamma: Vec<f32>,
    /// That of `beta`.
    pub beta: Vec<f32>,
}

/// The gradients, from that of the result and each row's mean and 1/σ.
///
/// # Panics
/// If the slices have other lengths than in [`layer_norm`].
pub fn layer_norm_backward(x: &[f32], gamma: &[f32], stats: &[[f32; 2]], dy: &[f32]) -> LayerNormGradients {
    let d = gamma.len();
    assert!(d > 0 && x.len() == stats.len() * d && dy.len() == x.len(), "rows of {d} values");
    let rows = rows_per_block(d);
    let mut dx = Uninit::new(x.len());
    let blocks: Vec<(Vec<f32>, Vec<f32>)> = dx
        .slots()
        .par_chunks_mut(rows * d)
        .zip(x.par_chunks(rows * d))
        .zip(dy.par_chunks(rows * d))
        .zip(stats.par_chunks(rows))
        .map(|(((dx, x), dy), stats)| {
            let (mut dgamma, mut dbeta) = (vec![0f32; d], vec![0f32; d]);
            gradients(dx, &mut dgamma, &mut dbeta, x, dy, stats, gamma);
            (dgamma, dbeta)
        })
        .collect();
    // SAFETY: `gradients` wrote every row.
    let x = unsafe { dx.finish() };
    let gamma = combine(d, blocks.iter().map(|(dgamma, _)| &dgamma[..]));
    let beta = combine(d, blocks.iter().map(|(_, dbeta)| &dbeta[..]));
    LayerNormGradients { x, gamma, beta }
}

fn rows_per_block(d: usize) -> usize {
    (CHUNK / d).max(8)
}

vectorised! {
    fn normalise(y: &mut [Slot], x: &[f32], stats: &mut [[f32; 2]], gamma: &[f32], beta: &[f32], eps: f32) {
        let d = gamma.len();
        let beta = &beta[..d];
        for ((y, x), stats) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(stats) {
            let mean = sum([x], |[x]| x) / d as f32;
            let var = sum([x], |[x]| (x - mean) * (x - mean)) / d as f32;
            let rstd = 1.0 / (var + eps).sqrt();
            for i in 0..d {
                y[i].write((x[i] - mean) * rstd * gamma[i] + beta[i]);
            }
            *stats = [mean, rstd];
        }
    }
}

vectorised! {
    fn gradients(
        dx: &mut [Slot], dgamma: &mut [f32], dbeta: &mut [f32],
        x: &[f32], dy: &[f32], stats: &[[f32; 2]], gamma: &[f32],
    ) {
        let d = gamma.len();
        let (dgamma, dbeta) = (&mut dgamma[..d], &mut dbeta[..d]);
        let rows = dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(dy.chunks_exact(d)).zip(stats);
        for (((dx, x), dy), [mean, rstd]) in rows {
            let offset = sum([dy, gamma], |[dy, gamma]| dy * gamma) / d as f32;
            let slope = sum([dy, gamma, x], |[dy, gamma, x]| dy * gamma * ((x - mean) * rstd)) / d as f32;
            for i in 0..d {
                let normal = (x[i] - mean) * rstd;
                dx[i].write(rstd * (dy[i] * gamma[i] - offset - normal * slope));
                dgamma[i] += dy[i] * normal;
                dbeta[i] += dy[i];
            }
        }
    }
}
