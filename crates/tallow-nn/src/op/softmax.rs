//! Softmax over the last dimension.

use std::sync::{Arc, OnceLock};

use candle_core::Tensor;
use tallow_kernels::cpu::softmax;

use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::contiguous;
use crate::tape::{Backward, Output, emit};

const OP: &str = "softmax";

/// Computes `e^(x − max) / Σ e^(x − max)` over the last dimension.
///
/// # Shapes
/// `x` `[.., k]`; the result as `x`, contiguous.
///
/// # Errors
/// A scalar, or `k = 0`; a tensor that is not f32.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let k = match x.dims().last() {
        Some(&k) if k > 0 => k,
        _ => return Err(Error::input(OP, "[.., k] with k > 0", format!("{:?}", x.dims()))),
    };
    let probabilities = on_cpu(OP, [&contiguous(x)?], |[x]| softmax::forward(x, k))?;
    // The backward needs the result. It shares the tensor's storage, once there is one.
    let saved = Arc::new(OnceLock::new());
    let y = emit(Output::contiguous(probabilities, x.dims()), &[x], Softmax { y: saved.clone(), k })?;
    let _ = saved.set(y.detach());
    Ok(record(y, &[x], || Op::Softmax))
}

struct Softmax {
    y: Arc<OnceLock<Tensor>>,
    k: usize,
}

impl Backward for Softmax {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let y = self.y.get().ok_or(Error::NotRecorded)?;
        let dx = on_cpu(OP, [y, &grad], |[y, dy]| softmax::backward(y, dy, self.k))?;
        Ok(vec![Some(Output::contiguous(dx, grad.dims()).into_tensor(grad.device())?)])
    }
}
