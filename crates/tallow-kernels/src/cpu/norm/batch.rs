//! BatchNorm over the columns of a matrix, fused with the activation after it: one pass for the statistics, one to
//! write; in the backward pass one for the sums, one to write.

use rayon::prelude::*;

use super::columns::{Columns, block_moments, combine};
use crate::cpu::activation::functions::Function;
use crate::cpu::activation::{Activation, with_function};
use crate::cpu::isa::vectorised;
use crate::cpu::memory::{Slot, Uninit};

/// The mean and the biased variance of each of the `c` columns of `x`.
///
/// # Panics
/// If `x` is empty, or `c` is 0 or does not divide it.
pub fn moments(x: &[f32], c: usize) -> (Vec<f32>, Vec<f32>) {
    assert!(c > 0 && !x.is_empty() && x.len().is_multiple_of(c), "at least one row of {c} columns");
    block_moments(x, Columns::new(c))
}

/// `activation((x − mean) / √(var + eps) · gamma + beta)` over the columns of a matrix.
///
/// The backward pass computes the activation's input again from `x`, exactly as the forward pass did: reading it from
/// memory would take longer.
pub struct BatchNorm {
    columns: Columns,
    mean: Vec<f32>,
    rstd: Vec<f32>,
    scale: Vec<f32>,
    beta: Vec<f32>,
    activation: Activation,
    /// Whether mean and variance depend on `x`.
    batch_statistics: bool,
}

/// The gradients of a [`BatchNorm`].
pub struct BatchNormGradients {
    /// That of `x`, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// That of `gamma`.
    pub gamma: Vec<f32>,
    /// That of `beta`.
    pub beta: Vec<f32>,
}

impl BatchNorm {
    /// A normalisation by these statistics, one value of each slice for a column. `batch_statistics` says whether they
    /// are the moments of `x` itself, so that gradients flow through them.
    ///
    /// # Panics
    /// If the slices differ in length or are empty.
    pub fn new(
        (mean, var): (&[f32], &[f32]),
        gamma: &[f32],
        beta: &[f32],
        eps: f32,
        activation: Activation,
        batch_statistics: bool,
    ) -> BatchNorm {
        let c = mean.len();
        assert!(c > 0 && [var, gamma, beta].iter().all(|values| values.len() == c), "one value of each for a column");
        let columns = Columns::new(c);
        let rstd: Vec<f32> = var.iter().map(|v| (1.0 / (f64::from(*v) + f64::from(eps)).sqrt()) as f32).collect();
        let scale: Vec<f32> = gamma.iter().zip(&rstd).map(|(g, r)| g * r).collect();
        BatchNorm {
            columns,
            mean: columns.repeat(mean),
            rstd: columns.repeat(&rstd),
            scale: columns.repeat(&scale),
            beta: columns.repeat(beta),
            activation,
            batch_statistics,
        }
    }

    /// The result for `x`, `[rows, c]`.
    ///
    /// # Panics
    /// If `c` does not divide `x`.
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.check(x);
        let mut y = Uninit::new(x.len());
        let block = self.columns.block;
        y.slots().par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            with_function!(self.activation, F => write::<F>(y, x, &self.mean, &self.scale, &self.beta));
        });
        // SAFETY: `write` wrote every block.
        unsafe { y.finish() }
    }

    /// The gradients, from `x` and that of the result. That of `x` is computed if `x_needed`.
    ///
    /// # Panics
    /// If `c` does not divide `x`, or `x` and `dy` differ in length.
    pub fn backward(&self, x: &[f32], dy: &[f32], x_needed: bool) -> BatchNormGradients {
        self.check(x);
        assert_eq!(x.len(), dy.len(), "one gradient for each value");
        let (beta, gamma) = self.sums(x, dy);
        let x = x_needed.then(|| self.input_grad(x, dy, &beta, &gamma));
        BatchNormGradients { x, gamma, beta }
    }

    fn check(&self, x: &[f32]) {
        assert!(x.len().is_multiple_of(self.columns.c), "rows of {} columns", self.columns.c);
    }

    /// Σ dz and Σ dz·x̂ of each channel, where dz is the gradient before the activation.
    fn sums(&self, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Columns { c, wide, block } = self.columns;
        let blocks: Vec<(Vec<f32>, Vec<f32>)> = x
            .par_chunks(block)
            .zip(dy.par_chunks(block))
            .map(|(x, dy)| {
                let (mut plain, mut scaled) = (vec![0f32; wide], vec![0f32; wide]);
                with_function!(self.activation, F => reduce::<F>(
                    &mut plain, &mut scaled, x, dy, &self.mean, &self.rstd, &self.scale, &self.beta
                ));
                (self.columns.fold(&plain), self.columns.fold(&scaled))
            })
            .collect();
        (combine(c, blocks.iter().map(|b| b.0.as_slice())), combine(c, blocks.iter().map(|b| b.1.as_slice())))
    }

    fn input_grad(&self, x: &[f32], dy: &[f32], dbeta: &[f32], dgamma: &[f32]) -> Vec<f32> {
        let Columns { c, block, .. } = self.columns;
        // Statistics that depend on x remove the gradient's mean and its component along x̂.
        let factor = if self.batch_statistics { 1.0 / (x.len() / c) as f32 } else { 0.0 };
        let share = |sums: &[f32]| self.columns.repeat(&sums.iter().map(|s| s * factor).collect::<Vec<_>>());
        let (offset, slope) = (share(dbeta), share(dgamma));
        let mut dx = Uninit::new(x.len());
        let tasks = dx.slots().par_chunks_mut(block).zip(x.par_chunks(block)).zip(dy.par_chunks(block));
        tasks.for_each(|((dx, x), dy)| {
            with_function!(self.activation, F => write_grad::<F>(
                dx, x, dy, &self.mean, &self.rstd, &self.scale, &self.beta, &offset, &slope
            ));
        });
        // SAFETY: `write_grad` wrote every block.
        unsafe { dx.finish() }
    }
}

/// The activation's input; forward and backward must compute it alike.
#[inline(always)]
fn before_activation(x: f32, mean: f32, scale: f32, beta: f32) -> f32 {
    (x - mean) * scale + beta
}

vectorised! {
    fn write<F: Function>(y: &mut [Slot], x: &[f32], mean: &[f32], scale: &[f32], beta: &[f32]) {
        let wide = mean.len();
        for (y, x) in y.chunks_mut(wide).zip(x.chunks(wide)) {
            let n = y.len();
            let (x, mean, scale, beta) = (&x[..n], &mean[..n], &scale[..n], &beta[..n]);
            for i in 0..n {
                y[i].write(F::value::<M>(before_activation(x[i], mean[i], scale[i], beta[i])));
            }
        }
    }
}

vectorised! {
    fn reduce<F: Function>(
        plain: &mut [f32], scaled: &mut [f32], x: &[f32], dy: &[f32],
        mean: &[f32], rstd: &[f32], scale: &[f32], beta: &[f32],
    ) {
        let wide = mean.len();
        for (x, dy) in x.chunks(wide).zip(dy.chunks(wide)) {
            let n = x.len();
            let (plain, scaled, dy) = (&mut plain[..n], &mut scaled[..n], &dy[..n]);
            let (mean, rstd, scale, beta) = (&mean[..n], &rstd[..n], &scale[..n], &beta[..n]);
            for i in 0..n {
                let dz = F::gradient::<M>(before_activation(x[i], mean[i], scale[i], beta[i]), dy[i]);
                plain[i] += dz;
                scaled[i] += dz * ((x[i] - mean[i]) * rstd[i]);
            }
        }
    }
}

vectorised! {
    fn write_grad<F: Function>(
        dx: &mut [Slot], x: &[f32], dy: &[f32],
        mean: &[f32], rstd: &[f32], scale: &[f32], beta: &[f32], offset: &[f32], slope: &[f32],
    ) {
        let wide = mean.len();
        for ((dx, x), dy) in dx.chunks_mut(wide).zip(x.chunks(wide)).zip(dy.chunks(wide)) {
            let n = dx.len();
            let (x, dy) = (&x[..n], &dy[..n]);
            let (mean, rstd, scale, beta) = (&mean[..n], &rstd[..n], &scale[..n], &beta[..n]);
            let (offset, slope) = (&offset[..n], &slope[..n]);
            for i in 0..n {
                let dz = F::gradient::<M>(before_activation(x[i], mean[i], scale[i], beta[i]), dy[i]);
                let normal = (x[i] - mean[i]) * rstd[i];
                dx[i].write(scale[i] * (dz - offset[i] - normal * slope[i]));
            }
        }
    }
}
