//! Sums of two tensors of one shape: the tail of a residual block, and gradients that meet.

use candle_core::Tensor;
use tallow_kernels::cpu::activation::Activation;
use tallow_kernels::cpu::elementwise;

use super::{activate, on_cpu};
use crate::error::{Error, Result};
use crate::graph::{self, Op, record};
use crate::memory::{channels_last, contiguous};
use crate::tape::{self, Backward, Output};

const OP: &str = "add";

/// Computes `activation(a + b)`, the tail of a residual block, in one pass over memory for the identity and ReLU.
///
/// # Shapes
/// Both of one shape, which the result has; images `[n, c, h, w]` come out channels-last.
///
/// # Errors
/// Two shapes; a tensor that is not f32.
pub fn add_activate(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    if a.dims() != b.dims() {
        return Err(Error::input(OP, format!("two tensors of shape {:?}", a.dims()), format!("{:?}", b.dims())));
    }
    if !matches!(activation, Activation::Identity | Activation::Relu)
        || (graph::watched() && activation != Activation::Identity)
    {
        return activate(&add_activate(a, b, Activation::Identity)?, activation);
    }
    let (left, right) = (in_memory(a)?, in_memory(b)?);
    let keep_active = tape::records(&[a, b]);
    let (data, active) = on_cpu(OP, [&left, &right], |[a, b]| match activation {
        Activation::Relu => elementwise::add_relu(a, b, keep_active),
        _ => (elementwise::add(a, b), None),
    })?;
    let output = output(data, left.dims());
    Ok(record(tape::emit(output, &[a, b], AddActivate { active })?, &[a, b], || Op::Add))
}

/// The tensor in the order in which the sum lies: images channels-last.
fn in_memory(t: &Tensor) -> Result<Tensor> {
    if t.rank() == 4 { channels_last(OP, t) } else { contiguous(t) }
}

/// A result of this shape in memory.
fn output(data: Vec<f32>, dims: &[usize]) -> Output {
    match *dims {
        [n, h, w, c] => Output::channels_last(data, (n, h, w, c)),
        _ => Output::contiguous(data, dims),
    }
}

/// The gradient goes to both sides; after a ReLU, where the sum was positive.
struct AddActivate {
    active: Option<Vec<bool>>,
}

impl Backward for AddActivate {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let masked = match &self.active {
            None => grad.clone(),
            Some(active) => {
                let memory = in_memory(grad)?;
                let data = on_cpu(OP, [&memory], |[dy]| elementwise::mask(dy, active))?;
                output(data, memory.dims()).into_tensor(grad.device())?
            }
        };
        Ok(needs.iter().map(|needed| needed.then(|| masked.clone())).collect())
    }
}

/// Computes `a + b` for two gradients of one tensor: in parallel if both lie alike in memory, by Candle otherwise.
///
/// # Errors
/// Two shapes.
pub fn add_gradients(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device().is_cpu() && a.dtype() == candle_core::DType::F32 && a.dims() == b.dims() {
        if a.is_contiguous() && b.is_contiguous() {
            let sum = on_cpu(OP, [a, b], |[a, b]| elementwise::add(a, b))?;
            return Output::contiguous(sum, a.dims()).into_tensor(a.device());
        }
        if a.rank() == 4 {
            let (a, b) = (a.permute((0, 2, 3, 1))?, b.permute((0, 2, 3, 1))?);
            if a.is_contiguous() && b.is_contiguous() {
                let sum = on_cpu(OP, [&a, &b], |[a, b]| elementwise::add(a, b))?;
                return Output::channels_last(sum, a.dims4()?).into_tensor(a.device());
            }
        }
    }
    Ok((a.detach() + b.detach())?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::Tape;

    #[test]
    fn both_sides_get_the_gradient_where_the_sum_is_positive() -> Result<()> {
        for shape in [&[2usize, 3, 2, 1][..], &[4, 3]] {
            let a = Var::from_vec((0..12).map(|i| i as f32 - 6.0).collect(), shape, &Device::Cpu)?;
            let b = Var::from_vec(vec![1.5f32; 12], shape, &Device::Cpu)?;
            for (activation, wanted) in [(Activation::Identity, 12), (Activation::Relu, 7)] {
                let tape = Tape::start();
                let y = add_activate(&a, &b, activation)?;
                let grads = tape.backward(&y.sum_all()?)?;
                for side in [&a, &b] {
                    let grad = grads.get(side).ok_or(Error::NotRecorded)?.flatten_all()?.to_vec1::<f32>()?;
                    assert_eq!(grad.iter().sum::<f32>() as usize, wanted, "{activation:?} {shape:?}");
                    let sums = y.flatten_all()?.to_vec1::<f32>()?;
                    assert!(grad.iter().zip(sums).all(|(g, y)| *g == 1.0 || y == 0.0));
                }
            }
        }
        Ok(())
    }
}
