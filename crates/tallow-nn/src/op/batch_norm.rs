//! BatchNorm over `[n, c, h, w]`, fused with the activation after it.

use candle_core::Tensor;
use tallow_kernels::cpu::activation::Activation;
use tallow_kernels::cpu::norm::{BatchNorm, moments};

use super::{activate, on_cpu};
use crate::error::{Error, Result};
use crate::graph::{self, Op, record};
use crate::memory::{channels_last, vector};
use crate::tape::{Backward, Output, emit};

const OP: &str = "batch_norm";

/// The statistics of a training batch, for the running statistics.
#[derive(Debug, Clone)]
pub struct BatchStats {
    /// Mean of each channel, `[c]`.
    pub mean: Tensor,
    /// Biased variance of each channel, `[c]`.
    pub var: Tensor,
    /// Values of each channel: `n · h · w`.
    pub count: usize,
}

/// Computes `activation((x − mean) / √(var + eps) · gamma + beta)` with the batch's own mean and variance.
///
/// # Shapes
/// `x` `[n, c, h, w]`; `gamma`, `beta` `[c]`; the result as `x`, channels-last.
///
/// # Errors
/// Other shapes; a batch without values; a tensor that is not f32.
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
        return Err(Error::input(OP, "at least one value in each channel", format!("{:?}", x.dims())));
    }
    let (mean, var) = on_cpu(OP, [&images], |[x]| moments(x, c))?;
    let stats = BatchStats {
        mean: Tensor::from_slice(&mean, c, x.device())?,
        var: Tensor::from_slice(&var, c, x.device())?,
        count,
    };
    let y = normalise([x, gamma, beta], images, (&mean, &var), eps, activation, true)?;
    Ok((y, stats))
}

/// Computes the same with given statistics, as in evaluation. It is differentiable: to train around a frozen BatchNorm.
///
/// # Shapes
/// `x` `[n, c, h, w]`; `gamma`, `beta`, `mean`, `var` `[c]`; the result as `x`, channels-last.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
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
    let (mean_values, var_values) = (vector(OP, "mean", mean, c)?, vector(OP, "var", var, c)?);
    let y = normalise([x, gamma, beta], images, (&mean_values, &var_values), eps, activation, false)?;
    Ok(record(y, &[x, gamma, beta, mean, var], || Op::BatchNorm { eps }))
}

fn normalise(
    inputs: [&Tensor; 3],
    images: Tensor,
    statistics: (&[f32], &[f32]),
    eps: f32,
    activation: Activation,
    batch_statistics: bool,
) -> Result<Tensor> {
    let (n, h, w, c) = images.dims4()?;
    let gamma = vector(OP, "gamma", inputs[1], c)?;
    let beta = vector(OP, "beta", inputs[2], c)?;
    if images.elem_count() == 0 {
        return emit(Output::channels_last(Vec::new(), (n, h, w, c)), &inputs, Empty);
    }
    let norm = BatchNorm::new(statistics, &gamma, &beta, eps, activation, batch_statistics);
    let data = on_cpu(OP, [&images], |[x]| norm.forward(x))?;
    emit(Output::channels_last(data, (n, h, w, c)), &inputs, Normalise { x: images, norm })
}

/// The backward of an empty batch, which has no gradients.
struct Empty;

impl Backward for Empty {
    fn backward(&self, _grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None; needs.len()])
    }
}

struct Normalise {
    x: Tensor,
    norm: BatchNorm,
}

impl Backward for Normalise {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = channels_last(OP, grad)?;
        let shape = self.x.dims4()?;
        let gradients = on_cpu(OP, [&self.x, &grad], |[x, dy]| self.norm.backward(x, dy, needs[0]))?;
        let dx = gradients.x.map(|dx| Output::channels_last(dx, shape).into_tensor(grad.device())).transpose()?;
        let vector = |need: bool, values: Vec<f32>| {
            need.then(|| Output::contiguous(values, &[shape.3]).into_tensor(grad.device())).transpose()
        };
        Ok(vec![dx, vector(needs[1], gradients.gamma)?, vector(needs[2], gradients.beta)?])
    }
}
