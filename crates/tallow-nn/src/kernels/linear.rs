//! The fully connected layer: a convolution over rows, which are images of one pixel.

use candle_core::Tensor;

use super::conv2d::{Filters, Rows};
use super::memory::{contiguous, values};
use super::norm::sums;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::precision::{self, Precision};
use crate::tape::{Backward, Output, emit};

const OP: &str = "linear";

/// `x · weightᵀ + bias`.
///
/// # Shapes
/// `x` `[.., in]`, `weight` `[out, in]`, `bias` `[out]` → `[.., out]`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let found = || format!("x {:?}, weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.map(Tensor::dims));
    let expected = "x [.., in], weight [out, in], bias [out]";
    let ([.., inputs], &[outputs, weight_inputs]) = (x.dims(), weight.dims()) else {
        return Err(Error::input(OP, expected, found()));
    };
    let inputs = *inputs;
    if inputs != weight_inputs || bias.is_some_and(|b| b.dims() != [outputs]) {
        return Err(Error::input(OP, expected, found()));
    }
    let op = Linear {
        x: contiguous(x)?,
        weight: contiguous(weight)?,
        bias: bias.is_some(),
        precision: precision::current(),
    };
    let rows = x.dims()[..x.rank() - 1].iter().product();
    let data = {
        let (x, w) = (values(OP, &op.x)?, values(OP, &op.weight)?);
        let bias = bias.map(contiguous).transpose()?;
        let bias = bias.as_ref().map(|b| values(OP, b)).transpose()?;
        Rows { rows, inputs, outputs, precision: op.precision }.forward(&x, Filters::of(weight, &w), bias.as_deref())
    };
    let mut shape = x.dims().to_vec();
    shape[x.rank() - 1] = outputs;
    let output = Output::contiguous(data, &shape);
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(record(emit(output, &inputs, op)?, &inputs, || Op::Linear))
}

/// `a · b`, by the same products, which no tape records.
///
/// # Shapes
/// `a` `[n, k]`, `b` `[k, m]` → `[n, m]`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    const OP: &str = "matmul";
    let (&[rows, outputs], &[k, inputs]) = (a.dims(), b.dims()) else {
        return Err(Error::input(OP, "a [n, k], b [k, m]", format!("{:?}, {:?}", a.dims(), b.dims())));
    };
    if outputs != k {
        return Err(Error::input(OP, "a [n, k], b [k, m]", format!("{:?}, {:?}", a.dims(), b.dims())));
    }
    let (a, b) = (contiguous(a)?, contiguous(b)?);
    let product = Rows { rows, inputs, outputs, precision: precision::current() };
    let data = product.input_grad(&values(OP, &a)?, &values(OP, &b)?);
    Output::contiguous(data, &[rows, inputs]).into_tensor()
}

struct Linear {
    x: Tensor,
    weight: Tensor,
    bias: bool,
    precision: Precision,
}

impl Backward for Linear {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let (x, w, dy) = (values(OP, &self.x)?, values(OP, &self.weight)?, values(OP, &grad)?);
        let (outputs, inputs) = self.weight.dims2()?;
        let rows = dy.len().checked_div(outputs).unwrap_or(0);
        let product = Rows { rows, inputs, outputs, precision: self.precision };
        let dx = needs[0].then(|| Output::contiguous(product.input_grad(&dy, &w), self.x.dims()).into_tensor());
        let dw = needs[1].then(|| Output::contiguous(product.weight_grad(&x, &dy), self.weight.dims()).into_tensor());
        let mut grads = vec![dx.transpose()?, dw.transpose()?];
        if self.bias {
            let db = needs[2].then(|| Output::contiguous(sums(&dy, outputs), &[outputs]).into_tensor());
            grads.push(db.transpose()?);
        }
        Ok(grads)
    }
}
