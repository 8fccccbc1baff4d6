//! LayerNorm over the last dimension.

use candle_core::Tensor;
use tallow_kernels::cpu::norm;

use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::{contiguous, vector};
use crate::tape::{Backward, Output, emit, records};

const OP: &str = "layer_norm";

/// Computes `(x − mean) / √(var + eps) · gamma + beta`, with the mean and variance of each row of the last dimension.
///
/// # Shapes
/// `x` `[.., d]`; `gamma`, `beta` `[d]`; the result as `x`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
///
/// # Source
/// Ba, Kiros & Hinton 2016; numbers as PyTorch's `layer_norm`.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f32) -> Result<Tensor> {
    let d = match x.dims().last() {
        Some(&d) if d > 0 => d,
        _ => return Err(Error::input(OP, "[.., d] with d > 0", format!("{:?}", x.dims()))),
    };
    let gamma_values = vector(OP, "gamma", gamma, d)?;
    let beta_values = vector(OP, "beta", beta, d)?;
    let rows = contiguous(x)?;
    let (data, stats) = on_cpu(OP, [&rows], |[x]| norm::layer_norm(x, &gamma_values, &beta_values, eps))?;
    let output = Output::contiguous(data, x.dims());
    let inputs = [x, gamma, beta];
    let y = if records(&inputs) {
        emit(output, &inputs, LayerNorm { x: rows, gamma: gamma_values, stats })?
    } else {
        output.into_tensor(x.device())?
    };
    Ok(record(y, &inputs, || Op::LayerNorm { eps }))
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
        let gradients =
            on_cpu(OP, [&self.x, &grad], |[x, dy]| norm::layer_norm_backward(x, &self.gamma, &self.stats, dy))?;
        let d = self.gamma.len();
        let tensor = |need: bool, values: Vec<f32>, shape: &[usize]| {
            need.then(|| Output::contiguous(values, shape).into_tensor(grad.device())).transpose()
        };
        Ok(vec![
            tensor(needs[0], gradients.x, self.x.dims())?,
            tensor(needs[1], gradients.gamma, &[d])?,
            tensor(needs[2], gradients.beta, &[d])?,
        ])
    }
}
