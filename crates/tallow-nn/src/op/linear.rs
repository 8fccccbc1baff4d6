//! The fully connected layer: a convolution over rows, which are images of one pixel.

use candle_core::Tensor;
use tallow_kernels::cpu::conv2d::{Convolution, Epilogue};
use tallow_kernels::cpu::norm::sums;

use super::conv2d::product;
use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::{contiguous, vector};
use crate::precision;
use crate::tape::{Backward, Output, emit};

const OP: &str = "linear";

/// Computes `x · weightᵀ + bias`.
///
/// # Shapes
/// `x` `[.., in]`, `weight` `[out, in]`, `bias` `[out]` → `[.., out]`, contiguous.
///
/// # Errors
/// Other shapes, no inputs or no outputs; a tensor that is not f32.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let refuse = || {
        let found = format!("x {:?}, weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.map(Tensor::dims));
        Error::input(OP, "x [.., in], weight [out, in], bias [out], none of them empty", found)
    };
    let ([batch @ .., inputs], &[outputs, weight_inputs]) = (x.dims(), weight.dims()) else {
        return Err(refuse());
    };
    if *inputs != weight_inputs || bias.is_some_and(|b| b.dims() != [outputs]) {
        return Err(refuse());
    }
    let rows = batch.iter().product();
    let convolution = Convolution::linear(rows, *inputs, outputs, precision::current()).map_err(|_| refuse())?;
    let shift = bias.map(|bias| vector(OP, "bias", bias, outputs)).transpose()?;
    let op = Linear { convolution, x: contiguous(x)?, weight: contiguous(weight)?, bias: bias.is_some() };
    let epilogue = Epilogue { shift: shift.as_deref(), ..Epilogue::default() };
    let data = product(OP, &convolution, &op.x, weight, &op.weight, None, epilogue)?;
    let output = Output::contiguous(data, &[batch, &[outputs]].concat());
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(record(emit(output, &inputs, op)?, &inputs, || Op::Linear))
}

/// Computes the matrix product `a · b` by the kernels of [`linear`]. No tape records it.
///
/// # Shapes
/// `a` `[n, k]`, `b` `[k, m]` → `[n, m]`, contiguous.
///
/// # Errors
/// Other shapes, or `k` or `m` of 0; a tensor that is not f32.
pub fn matmul_no_grad(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    const OP: &str = "matmul_no_grad";
    let refuse = || {
        let found = format!("{:?}, {:?}", a.dims(), b.dims());
        Error::input(OP, "a [n, k] and b [k, m], neither k nor m 0", found)
    };
    let (&[rows, outputs], &[k, inputs]) = (a.dims(), b.dims()) else {
        return Err(refuse());
    };
    if outputs != k {
        return Err(refuse());
    }
    let convolution = Convolution::linear(rows, inputs, outputs, precision::current()).map_err(|_| refuse())?;
    let data = on_cpu(OP, [&contiguous(a)?, &contiguous(b)?], |[a, b]| convolution.input_grad(a, b))?;
    Output::contiguous(data, &[rows, inputs]).into_tensor(a.device())
}

struct Linear {
    convolution: Convolution,
    x: Tensor,
    weight: Tensor,
    bias: bool,
}

impl Backward for Linear {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dy = contiguous(grad)?;
        let (convolution, outputs) = (&self.convolution, self.weight.dim(0)?);
        let mut grads = vec![None, None];
        if needs[0] {
            let dx = on_cpu(OP, [&dy, &self.weight], |[dy, w]| convolution.input_grad(dy, w))?;
            grads[0] = Some(Output::contiguous(dx, self.x.dims()).into_tensor(grad.device())?);
        }
        if needs[1] {
            let dw = on_cpu(OP, [&self.x, &dy], |[x, dy]| convolution.weight_grad(x, dy))?;
            grads[1] = Some(Output::contiguous(dw, self.weight.dims()).into_tensor(grad.device())?);
        }
        if self.bias {
            let db = needs[2].then(|| on_cpu(OP, [&dy], |[dy]| sums(dy, outputs))).transpose()?;
            grads.push(db.map(|db| Output::contiguous(db, &[outputs]).into_tensor(grad.device())).transpose()?);
        }
        Ok(grads)
    }
}
