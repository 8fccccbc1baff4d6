//! Values rounded to those that 8 bits can hold.

use candle_core::Tensor;
use rayon::prelude::*;

use super::elementwise::CHUNK;
use super::map::Laid;
use super::memory::{Uninit, values};
use super::vectorised::vectorised;
use crate::error::Result;

/// `(clamp(round(x / scale) + zero_point, 0, 255) − zero_point) · scale`, halves to even: what is left of values that are kept
/// as unsigned bytes. Not differentiable.
///
/// # Errors
/// A tensor that is not f32 on the CPU.
///
/// # Source
/// PyTorch's `fake_quantize_per_tensor_affine`; the operators QuantizeLinear and DequantizeLinear of ONNX.
pub fn fake_quantize(x: &Tensor, scale: f32, zero_point: u8) -> Result<Tensor> {
    let laid = Laid::new(x)?;
    let data = {
        let values = values("fake_quantize", &laid.memory)?;
        let mut data = Uninit::new(values.len());
        // SAFETY: `round` writes every value.
        let out = unsafe { data.as_mut_slice() };
        let chunks = out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
        chunks.for_each(|(y, x)| round(y, x, scale, f32::from(zero_point)));
        // SAFETY: written above.
        unsafe { data.finish() }
    };
    laid.output(data)?.into_tensor()
}

/// The least and the greatest value; (∞, −∞) of none.
///
/// # Errors
/// A tensor that is not f32 on the CPU.
pub fn range(x: &Tensor) -> Result<(f32, f32)> {
    let laid = Laid::new(x)?;
    let values = values("range", &laid.memory)?;
    let chunks = values.par_chunks(CHUNK).map(|chunk| {
        chunk.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
    });
    Ok(chunks.reduce(|| (f32::INFINITY, f32::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1))))
}

vectorised! {
    fn round(y: &mut [f32], x: &[f32], scale: f32, zero_point: f32) {
        for (y, x) in y.iter_mut().zip(x) {
            let level = ((x / scale).round_ties_even() + zero_point).clamp(0.0, 255.0);
            *y = (level - zero_point) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// `torch.fake_quantize_per_tensor_affine(torch.tensor([...]), 0.5, 3, 0, 255)`.
    #[test]
    fn values_are_pytorchs() -> Result<()> {
        let x = Tensor::new(&[-9f32, -1.5, -0.25, 0.0, 0.24, 0.25, 0.75, 1.3, 125.9, 300.0], &Device::Cpu)?;
        let y = fake_quantize(&x, 0.5, 3)?.to_vec1::<f32>()?;
        assert_eq!(range(&x)?, (-9.0, 300.0));
        assert_eq!(y, [-1.5, -1.5, 0.0, 0.0, 0.0, 0.0, 1.0, 1.5, 126.0, 126.0]);
        Ok(())
    }
}
