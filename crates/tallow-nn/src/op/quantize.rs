//! Values rounded to those that 8 bits can hold.

use candle_core::Tensor;
use tallow_kernels::cpu::quantize;

use super::on_cpu;
use crate::error::Result;
use crate::memory::Dense;

/// Computes `(clamp(round(x / scale) + zero_point, 0, 255) − zero_point) · scale`, halves rounded to even: the values
/// that remain when `x` is stored as unsigned bytes. Not differentiable.
///
/// # Shapes
/// Any.
///
/// # Errors
/// A tensor that is not f32.
///
/// # Source
/// PyTorch's `fake_quantize_per_tensor_affine`; the operators QuantizeLinear and DequantizeLinear of ONNX.
pub fn fake_quantize(x: &Tensor, scale: f32, zero_point: u8) -> Result<Tensor> {
    let dense = Dense::new(x)?;
    let data = on_cpu("fake_quantize", [&dense.memory], |[x]| quantize::fake_quantize(x, scale, zero_point))?;
    dense.output(data)?.into_tensor(x.device())
}

/// Finds the least and the greatest value; (∞, −∞) of an empty tensor.
///
/// # Errors
/// A tensor that is not f32.
pub fn range(x: &Tensor) -> Result<(f32, f32)> {
    let dense = Dense::new(x)?;
    on_cpu("range", [&dense.memory], |[x]| quantize::range(x))
}
