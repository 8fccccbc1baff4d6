//! LayerNorm over the last dimension: each row normalised while it lies in the cache.

use candle_core::Tensor;
use rayon::prelude::*;

use super::columns::combine;
use super::vector;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::kernels::elementwise::CHUNK;
use crate::kernels::memory::{Uninit, contiguous, values};
use crate::kernels::vectorised::{sum, vectorised};
use crate::tape::{Backward, Output, emit, records};

const OP: &str = "layer_norm";

/// `(x − mean) / √(var + eps) · gamma + beta`, mean and variance of each row of the last dimension.
///
/// # Shapes
/// `x` `[.., d]`; `gamma`, `beta` `[d]`; the result as `x`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
///
/// # Source
/// Ba, Kiros & Hinton 2016; numbers as PyTorch's `layer_norm`.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f32) -> Result<Tensor> {
    let d = match x.dims().last() {
        Some(&d) if d > 0 => d,
        _ => {
            return Err(Error::input(OP, "[.., d] with d > 0", format!("{:?}", x.dims())));
        }
    };
    let gamma_values = vector(OP, "gamma", gamma, d)?;
    let beta_values = vector(OP, "beta", beta, d)?;
    let rows = contiguous(x)?;
    let keep = records(&[x, gamma, beta]);
    let (data, stats) = {
        let x = values(OP, &rows)?;
        let block = rows_per_block(d) * d;
        let mut data = Uninit::new(x.len());
        // SAFETY: `forward` writes every row.
        let out = unsafe { data.as_mut_slice() };
        let mut stats = vec![[0f32; 2]; x.len() / d];
        out.par_chunks_mut(block)
            .zip(x.par_chunks(block))
            .zip(stats.par_chunks_mut(block / d))
            .for_each(|((y, x), stats)| forward(y, x, stats, &gamma_values, &beta_values, eps));
        // SAFETY: written above.
        (unsafe { data.finish() }, if keep { stats } else { Vec::new() })
    };
    let output = Output::contiguous(data, x.dims());
    let y = emit(output, &[x, gamma, beta], LayerNorm { x: rows, gamma: gamma_values, stats })?;
    Ok(record(y, &[x, gamma, beta], || Op::LayerNorm { eps }))
}

fn rows_per_block(d: usize) -> usize {
    (CHUNK / d).max(8)
}

struct LayerNorm {
    x: Tensor,
    gamma: Vec<f32>,
    /// Mean and 1/σ of each row.
    stats: Vec<[f32; 2]>,
}

impl Backward for LayerNorm {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let (x, dy) = (values(OP, &self.x)?, values(OP, &grad)?);
        let d = self.gamma.len();
        let rows = rows_per_block(d);
        let mut data = Uninit::new(x.len());
        // SAFETY: `backward` writes every row.
        let out = unsafe { data.as_mut_slice() };
        let blocks: Vec<(Vec<f32>, Vec<f32>)> = out
            .par_chunks_mut(rows * d)
            .zip(x.par_chunks(rows * d))
            .zip(dy.par_chunks(rows * d))
            .zip(self.stats.par_chunks(rows))
            .map(|(((dx, x), dy), stats)| {
                let (mut dgamma, mut dbeta) = (vec![0f32; d], vec![0f32; d]);
                backward(dx, &mut dgamma, &mut dbeta, x, dy, stats, &self.gamma);
                (dgamma, dbeta)
            })
            .collect();
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        let dx = needs[0].then(|| Output::contiguous(data, self.x.dims()).into_tensor()).transpose()?;
        let (dgammas, dbetas): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let total = |need: bool, parts: &[Vec<f32>]| {
            need.then(|| Output::contiguous(combine(d, parts.iter().map(Vec::as_slice)), &[d]).into_tensor())
                .transpose()
        };
        Ok(vec![dx, total(needs[1], &dgammas)?, total(needs[2], &dbetas)?])
    }
}

vectorised! {
    fn forward(y: &mut [f32], x: &[f32], stats: &mut [[f32; 2]], gamma: &[f32], beta: &[f32], eps: f32) {
        let d = gamma.len();
        let beta = &beta[..d];
        for ((y, x), stats) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(stats) {
            let mean = sum([x], |[x]| x) / d as f32;
            let var = sum([x], |[x]| (x - mean) * (x - mean)) / d as f32;
            let rstd = 1.0 / (var + eps).sqrt();
            for i in 0..d {
                y[i] = (x[i] - mean) * rstd * gamma[i] + beta[i];
            }
            *stats = [mean, rstd];
        }
    }
}

vectorised! {
    fn backward(
        dx: &mut [f32], dgamma: &mut [f32], dbeta: &mut [f32],
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
                dx[i] = rstd * (dy[i] * gamma[i] - offset - normal * slope);
                dgamma[i] += dy[i] * normal;
                dbeta[i] += dy[i];
            }
        }
    }
}
