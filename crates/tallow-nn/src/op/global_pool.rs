//! The mean and the maximum of each channel over the whole image: the pooling before a classifier.

use candle_core::Tensor;
use tallow_kernels::cpu::pool::{MaxTaps, Pooling, global_avg, global_avg_backward};

use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::{channels_last, contiguous};
use crate::tape::{Backward, Output, emit, records};

/// Computes the mean over height and width.
///
/// # Shapes
/// `x` `[n, c, h, w]` → `[n, c]`.
///
/// # Errors
/// Images without pixels; a tensor that is not f32.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_avg_pool";
    let (images, shape @ (n, h, w, c)) = non_empty(OP, x)?;
    let data = on_cpu(OP, [&images], |[x]| if c == 0 { Vec::new() } else { global_avg(x, h * w, c) })?;
    let y = emit(Output::contiguous(data, &[n, c]), &[x], GlobalAvg { shape })?;
    Ok(record(y, &[x], || Op::GlobalAvgPool))
}

/// Computes the maximum over height and width; NaN if there is one.
///
/// # Shapes
/// `x` `[n, c, h, w]` → `[n, c]`.
///
/// # Errors
/// Images without pixels; a tensor that is not f32.
pub fn global_max_pool(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_max_pool";
    let (images, shape @ (n, h, w, c)) = non_empty(OP, x)?;
    let pooling = Pooling::global([n, h, w, c]);
    let keep_taps = records(&[x]);
    let (data, taps) = on_cpu(OP, [&images], |[x]| pooling.max(x, keep_taps))?;
    let y = emit(Output::contiguous(data, &[n, c]), &[x], GlobalMax { pooling, taps, shape })?;
    Ok(record(y, &[x], || Op::GlobalMaxPool))
}

/// The images as they lie, and their shape `(n, h, w, c)`.
fn non_empty(op: &'static str, x: &Tensor) -> Result<(Tensor, (usize, usize, usize, usize))> {
    let images = channels_last(op, x)?;
    let shape = images.dims4()?;
    if shape.1 * shape.2 == 0 {
        return Err(Error::input(op, "images with pixels", format!("{:?}", x.dims())));
    }
    Ok((images, shape))
}

struct GlobalAvg {
    shape: (usize, usize, usize, usize),
}

impl Backward for GlobalAvg {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (_, h, w, c) = self.shape;
        let kernel = |[dy]: [&[f32]; 1]| if c == 0 { Vec::new() } else { global_avg_backward(dy, h * w, c) };
        let dx = on_cpu("global_avg_pool", [&contiguous(grad)?], kernel)?;
        Ok(vec![Some(Output::channels_last(dx, self.shape).into_tensor(grad.device())?)])
    }
}

struct GlobalMax {
    pooling: Pooling,
    taps: MaxTaps,
    shape: (usize, usize, usize, usize),
}

impl Backward for GlobalMax {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let dx = on_cpu("global_max_pool", [&contiguous(grad)?], |[dy]| self.pooling.max_backward(&self.taps, dy))?;
        Ok(vec![Some(Output::channels_last(dx, self.shape).into_tensor(grad.device())?)])
    }
}
