//! Elementwise sums: the tail of a residual block, and gradients that meet.

use candle_core::Tensor;
use rayon::prelude::*;

use super::activation::{Activation, activate};
use super::memory::{Uninit, values};
use super::memory::{channels_last, contiguous};
use crate::error::{Error, Result};
use crate::graph::{self, Op, record};
use crate::tape::{self, Backward, Output};

/// Values a task works on: large enough to be worth a task, small enough for the L2 cache.
pub(crate) const CHUNK: usize = 16 * 1024;

/// `activation(a + b)`: the tail of a residual block, in one pass for the identity and ReLU.
///
/// # Shapes
/// Both of one shape, which the result has; images `[n, c, h, w]` come out channels-last.
///
/// # Errors
/// Two shapes; a tensor that is not f32 on the CPU.
pub fn add_activate(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    if a.dims() != b.dims() {
        return Err(Error::input("add", format!("two tensors of shape {:?}", a.dims()), format!("{:?}", b.dims())));
    }
    if !matches!(activation, Activation::Identity | Activation::Relu)
        || (graph::watched() && activation != Activation::Identity)
    {
        return activate(&add_activate(a, b, Activation::Identity)?, activation);
    }
    let lay = |t: &Tensor| if t.rank() == 4 { channels_last("add", t) } else { contiguous(t) };
    let (left, right) = (lay(a)?, lay(b)?);
    let mut data = add(&left, &right)?;
    let mut active = None;
    if activation == Activation::Relu {
        if tape::records(&[a, b]) {
            active = Some(data.par_iter().map(|v| *v > 0.0).collect());
        }
        data.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(relu));
    }
    let output = match *left.dims() {
        [n, h, w, c] => Output::channels_last(data, (n, h, w, c)),
        ref shape => Output::contiguous(data, shape),
    };
    Ok(record(tape::emit(output, &[a, b], AddBackward { active })?, &[a, b], || Op::Add))
}

/// Keeps NaN, which must reach the loss.
fn relu(value: &mut f32) {
    if *value < 0.0 {
        *value = 0.0;
    }
}

/// The gradient goes to both sides; after a ReLU, where the sum was positive.
struct AddBackward {
    active: Option<Vec<bool>>,
}

impl Backward for AddBackward {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let masked = match &self.active {
            None => grad.clone(),
            Some(active) => {
                let image = grad.rank() == 4;
                let memory = if image { channels_last("add backward", grad)? } else { contiguous(grad)? };
                let values = values("add backward", &memory)?;
                let keep = |(g, on): (&f32, &bool)| if *on { *g } else { 0.0 };
                let data: Vec<f32> = values.par_iter().zip(active).map(keep).collect();
                match *memory.dims() {
                    [n, h, w, c] if image => Output::channels_last(data, (n, h, w, c)).into_tensor()?,
                    ref shape => Output::contiguous(data, shape).into_tensor()?,
                }
            }
        };
        Ok(needs.iter().map(|needed| needed.then(|| masked.clone())).collect())
    }
}

/// `a + b` for two gradients of one tensor: parallel where both lie alike in memory, Candle's otherwise.
pub fn add_gradients(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device().is_cpu() && a.dtype() == candle_core::DType::F32 && a.dims() == b.dims() {
        if a.is_contiguous() && b.is_contiguous() {
            return Output::contiguous(add(a, b)?, a.dims()).into_tensor();
        }
        if a.rank() == 4 {
            let (a, b) = (a.permute((0, 2, 3, 1))?, b.permute((0, 2, 3, 1))?);
            if a.is_contiguous() && b.is_contiguous() {
                return Output::channels_last(add(&a, &b)?, a.dims4()?).into_tensor();
            }
        }
    }
    Ok((a.detach() + b.detach())?)
}

fn add(a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let (a, b) = (values("add", a)?, values("add", b)?);
    let mut sum = Uninit::new(a.len());
    // SAFETY: the loop writes every value.
    let out = unsafe { sum.as_mut_slice() };
    out.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((out, a), b)| {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    });
    // SAFETY: written above.
    Ok(unsafe { sum.finish() })
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
