//! Activation functions.

use candle_core::Tensor;
use tallow_kernels::cpu::activation::{self, Activation};

use super::on_cpu;
use crate::error::Result;
use crate::graph::{Op, record};
use crate::memory::Dense;
use crate::tape::{Backward, emit};

const OP: &str = "activation";

/// Computes `activation(x)`, elementwise. [`Activation::Identity`] returns `x` itself.
///
/// # Shapes
/// Any.
///
/// # Errors
/// A tensor that is not f32.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation == Activation::Identity {
        return Ok(x.clone());
    }
    let dense = Dense::new(x)?;
    let data = on_cpu(OP, [&dense.memory], |[x]| activation::forward(x, activation))?;
    let output = dense.output(data)?;
    Ok(record(emit(output, &[x], Activate { x: dense, activation })?, &[x], || Op::Activate(activation)))
}

struct Activate {
    x: Dense,
    activation: Activation,
}

impl Backward for Activate {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = self.x.in_same_order(grad)?;
        let dx = on_cpu(OP, [&self.x.memory, &grad], |[x, dy]| activation::backward(x, dy, self.activation))?;
        Ok(vec![Some(self.x.output(dx)?.into_tensor(grad.device())?)])
    }
}
