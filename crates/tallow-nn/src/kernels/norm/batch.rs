//! BatchNorm over `[n, c, h, w]`, fused with the activation after it: one pass for the statistics,
//! one to write; backward one pass for the sums, one to write.

use candle_core::Tensor;
use rayon::prelude::*;

use super::columns::{Columns, combine, moments};
use super::vector;
use crate::error::{Error, Result};
use crate::graph::{self, Op, record};
use crate::kernels::activation::curves::Curve;
use crate::kernels::activation::{Activation, activate, with_curve};
use crate::kernels::memory::{Uninit, channels_last, values};
use crate::kernels::vectorised::vectorised;
use crate::tape::{Backward, Output, emit};

/// What a training pass saw of its batch, for the running statistics.
#[derive(Debug, Clone)]
pub struct BatchStats {
    /// Mean of each channel, `[c]`.
    pub mean: Tensor,
    /// Biased variance of each channel, `[c]`.
    pub var: Tensor,
    /// Values a channel: `n · h · w`.
    pub count: usize,
}

/// `activation((x − mean) / √(var + eps) · gamma + beta)` with the batch's own mean and variance.
///
/// # Shapes
/// `x` `[n, c, h, w]`; `gamma`, `beta` `[c]`; the result as `x`, channels-last.
///
/// # Errors
/// Other shapes; a batch without values; a tensor that is not f32 on the CPU.
///
/// # Source
/// Ioffe & Szegedy 2015; numbers as PyTorch's `batch_norm(training=True)`.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f32,
    activation: Activation,
) -> Result<(Tensor, BatchStats)> {
    let images = channels_last(OP, x)?;
    let (n, h, w, c) = images.dims4()?;
    let count = n * h * w;
    if count == 0 || c == 0 {
        return Err(Error::input(OP, "at least one value a channel", format!("{:?}", x.dims())));
    }
    let (mean, var) = moments(&values(OP, &images)?, Columns::new(c));
    let stats = BatchStats {
        mean: Tensor::from_slice(&mean, c, x.device())?,
        var: Tensor::from_slice(&var, c, x.device())?,
        count,
    };
    let y = normalise([x, gamma, beta], images, (mean, var), eps, activation, true)?;
    Ok((y, stats))
}

/// The same with given statistics, as in evaluation. Differentiable: to train around a frozen BatchNorm.
///
/// # Shapes
/// `x` `[n, c, h, w]`; `gamma`, `beta`, `mean`, `var` `[c]`; the result as `x`, channels-last.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn batch_norm_eval(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f32,
    activation: Activation,
) -> Result<Tensor> {
    if graph::watched() && activation != Activation::Identity {
        let y = batch_norm_eval(x, gamma, beta, mean, var, eps, Activation::Identity)?;
        return activate(&y, activation);
    }
    let images = channels_last(OP, x)?;
    let c = images.dim(3)?;
    let stats = (vector(OP, "mean", mean, c)?, vector(OP, "var", var, c)?);
    let y = normalise([x, gamma, beta], images, stats, eps, activation, false)?;
    Ok(record(y, &[x, gamma, beta, mean, var], || Op::BatchNorm { eps }))
}

const OP: &str = "batch_norm";

fn normalise(
    inputs: [&Tensor; 3],
    images: Tensor,
    (mean, var): (Vec<f32>, Vec<f32>),
    eps: f32,
    activation: Activation,
    batch_statistics: bool,
) -> Result<Tensor> {
    let (n, h, w, c) = images.dims4()?;
    let gamma = vector(OP, "gamma", inputs[1], c)?;
    let beta = vector(OP, "beta", inputs[2], c)?;
    if images.elem_count() == 0 {
        return emit_empty(inputs, images);
    }
    let columns = Columns::new(c);
    let rstd: Vec<f32> = var.iter().map(|v| (1.0 / (f64::from(*v) + f64::from(eps)).sqrt()) as f32).collect();
    let scale: Vec<f32> = gamma.iter().zip(&rstd).map(|(g, r)| g * r).collect();
    let op = BatchNorm {
        x: images,
        columns,
        mean: columns.repeat(&mean),
        rstd: columns.repeat(&rstd),
        scale: columns.repeat(&scale),
        beta: columns.repeat(&beta),
        activation,
        batch_statistics,
    };
    let data = op.forward()?;
    emit(Output::channels_last(data, (n, h, w, c)), &inputs, op)
}

/// An empty batch has nothing to normalise and nothing to pass back.
fn emit_empty(inputs: [&Tensor; 3], images: Tensor) -> Result<Tensor> {
    struct Nothing;
    impl Backward for Nothing {
        fn backward(&self, _grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
            Ok(vec![None; needs.len()])
        }
    }
    emit(Output::channels_last(Vec::new(), images.dims4()?), &inputs, Nothing)
}

/// What the backward needs. The activation's input is computed again from `x`, exactly as the
/// forward computed it: cheaper than reading it back from memory.
struct BatchNorm {
    x: Tensor,
    columns: Columns,
    mean: Vec<f32>,
    rstd: Vec<f32>,
    scale: Vec<f32>,
    beta: Vec<f32>,
    activation: Activation,
    /// Whether mean and variance depend on `x`.
    batch_statistics: bool,
}

impl BatchNorm {
    fn forward(&self) -> Result<Vec<f32>> {
        let x = values(OP, &self.x)?;
        let mut data = Uninit::new(x.len());
        // SAFETY: `write` fills every block.
        let out = unsafe { data.as_mut_slice() };
        let block = self.columns.block;
        out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            with_curve!(self.activation, C => write::<C>(y, x, &self.mean, &self.scale, &self.beta));
        });
        // SAFETY: written above.
        Ok(unsafe { data.finish() })
    }

    /// Σ dz and Σ dz·x̂ of each channel, where dz is the gradient before the activation.
    fn sums(&self, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Columns { c, wide, block } = self.columns;
        let blocks: Vec<(Vec<f32>, Vec<f32>)> = x
            .par_chunks(block)
            .zip(dy.par_chunks(block))
            .map(|(x, dy)| {
                let (mut plain, mut scaled) = (vec![0f32; wide], vec![0f32; wide]);
                with_curve!(self.activation, C => reduce::<C>(
                    &mut plain, &mut scaled, x, dy, &self.mean, &self.rstd, &self.scale, &self.beta
                ));
                (self.columns.fold(&plain), self.columns.fold(&scaled))
            })
            .collect();
        (combine(c, blocks.iter().map(|b| b.0.as_slice())), combine(c, blocks.iter().map(|b| b.1.as_slice())))
    }
}

impl Backward for BatchNorm {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = channels_last(OP, grad)?;
        let (x, dy) = (values(OP, &self.x)?, values(OP, &grad)?);
        let Columns { c, block, .. } = self.columns;
        let (dbeta, dgamma) = self.sums(&x, &dy);
        let dx = if needs[0] {
            // Of statistics that depend on x, the gradient's mean and its component along x̂ go to nothing.
            let factor = if self.batch_statistics { 1.0 / (x.len() / c) as f32 } else { 0.0 };
            let share = |sums: &[f32]| self.columns.repeat(&sums.iter().map(|s| s * factor).collect::<Vec<_>>());
            let (offset, slope) = (share(&dbeta), share(&dgamma));
            let mut data = Uninit::new(x.len());
            // SAFETY: `write_grad` fills every block.
            let out = unsafe { data.as_mut_slice() };
            out.par_chunks_mut(block).zip(x.par_chunks(block)).zip(dy.par_chunks(block)).for_each(|((dx, x), dy)| {
                with_curve!(self.activation, C => write_grad::<C>(
                    dx, x, dy, &self.mean, &self.rstd, &self.scale, &self.beta, &offset, &slope
                ));
            });
            // SAFETY: written above.
            let data = unsafe { data.finish() };
            Some(Output::channels_last(data, self.x.dims4()?).into_tensor()?)
        } else {
            None
        };
        let vector =
            |need: bool, values: Vec<f32>| need.then(|| Output::contiguous(values, &[c]).into_tensor()).transpose();
        Ok(vec![dx, vector(needs[1], dgamma)?, vector(needs[2], dbeta)?])
    }
}

/// The activation's input; forward and backward must compute it alike.
#[inline(always)]
fn before_activation(x: f32, mean: f32, scale: f32, beta: f32) -> f32 {
    (x - mean) * scale + beta
}

vectorised! {
    fn write<C: Curve>(y: &mut [f32], x: &[f32], mean: &[f32], scale: &[f32], beta: &[f32]) {
        let wide = mean.len();
        for (y, x) in y.chunks_mut(wide).zip(x.chunks(wide)) {
            let n = y.len();
            let (x, mean, scale, beta) = (&x[..n], &mean[..n], &scale[..n], &beta[..n]);
            for i in 0..n {
                y[i] = C::value::<M>(before_activation(x[i], mean[i], scale[i], beta[i]));
            }
        }
    }
}

vectorised! {
    fn reduce<C: Curve>(
        plain: &mut [f32], scaled: &mut [f32], x: &[f32], dy: &[f32],
        mean: &[f32], rstd: &[f32], scale: &[f32], beta: &[f32],
    ) {
        let wide = mean.len();
        for (x, dy) in x.chunks(wide).zip(dy.chunks(wide)) {
            let n = x.len();
            let (plain, scaled, dy) = (&mut plain[..n], &mut scaled[..n], &dy[..n]);
            let (mean, rstd, scale, beta) = (&mean[..n], &rstd[..n], &scale[..n], &beta[..n]);
            for i in 0..n {
                let dz = C::pull::<M>(before_activation(x[i], mean[i], scale[i], beta[i]), dy[i]);
                plain[i] += dz;
                scaled[i] += dz * ((x[i] - mean[i]) * rstd[i]);
            }
        }
    }
}

vectorised! {
    fn write_grad<C: Curve>(
        dx: &mut [f32], x: &[f32], dy: &[f32],
        mean: &[f32], rstd: &[f32], scale: &[f32], beta: &[f32], offset: &[f32], slope: &[f32],
    ) {
        let wide = mean.len();
        for ((dx, x), dy) in dx.chunks_mut(wide).zip(x.chunks(wide)).zip(dy.chunks(wide)) {
            let n = dx.len();
            let (x, dy) = (&x[..n], &dy[..n]);
            let (mean, rstd, scale, beta) = (&mean[..n], &rstd[..n], &scale[..n], &beta[..n]);
            let (offset, slope) = (&offset[..n], &slope[..n]);
            for i in 0..n {
                let dz = C::pull::<M>(before_activation(x[i], mean[i], scale[i], beta[i]), dy[i]);
                let normal = (x[i] - mean[i]) * rstd[i];
                dx[i] = scale[i] * (dz - offset[i] - normal * slope[i]);
            }
        }
    }
}
