//! The cross-entropy that trains a classifier.

use candle_core::Tensor;
use tallow_kernels::cpu::softmax;

use super::on_cpu;
use crate::error::{Error, Result};
use crate::memory::contiguous;
use crate::tape::{Backward, Output, emit};

const OP: &str = "cross_entropy";

/// Computes the mean over the batch of `−Σ target · ln softmax(logits)`.
///
/// # Shapes
/// `logits` and `targets` `[n, k]`, the targets soft probabilities (one-hot, smoothed or mixed);
/// the result is a scalar.
///
/// # Errors
/// Shapes that differ or an empty batch; a tensor that is not f32.
///
/// # Source
/// PyTorch's `cross_entropy` with probabilities as targets.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if logits.rank() != 2 || logits.dims() != targets.dims() || logits.elem_count() == 0 {
        let found = format!("logits {:?}, targets {:?}", logits.dims(), targets.dims());
        return Err(Error::input(OP, "logits and targets, both [n, k] and not empty", found));
    }
    let (n, k) = logits.dims2()?;
    let (z, t) = (contiguous(logits)?, contiguous(targets)?);
    let (sum, probabilities) = on_cpu(OP, [&z, &t], |[z, t]| softmax::cross_entropy(z, t, k))?;
    let loss = (sum / n as f64) as f32;
    let op = CrossEntropy { probabilities, logits: z, targets: t };
    emit(Output::contiguous(vec![loss], &[]), &[logits, targets], op)
}

struct CrossEntropy {
    probabilities: Vec<f32>,
    logits: Tensor,
    targets: Tensor,
}

impl Backward for CrossEntropy {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, k) = self.logits.dims2()?;
        let scale = grad.to_scalar::<f32>()? / n as f32;
        let mut grads = vec![None, None];
        if needs[0] {
            let p = &self.probabilities;
            let dz = on_cpu(OP, [&self.targets], |[t]| softmax::logit_grad(p, t, k, scale))?;
            grads[0] = Some(Output::contiguous(dz, &[n, k]).into_tensor(grad.device())?);
        }
        if needs[1] {
            let dt = on_cpu(OP, [&self.logits], |[z]| softmax::target_grad(z, k, scale))?;
            grads[1] = Some(Output::contiguous(dt, &[n, k]).into_tensor(grad.device())?);
        }
        Ok(grads)
    }
}
