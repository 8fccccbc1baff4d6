//! From a loader's batch to a tensor.

use candle_core::{Device, Tensor};

use crate::Result;

/// The pixels of a batch, laid out `[n, h, w, c]`, as the tensor `[n, c, h, w]` that models take, without a copy.
///
/// # Errors
/// A number of pixels that does not fit the shape.
pub fn images(pixels: Vec<f32>, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
    Ok(Tensor::from_vec(pixels, shape, &Device::Cpu)?.permute((0, 3, 1, 2))?)
}
