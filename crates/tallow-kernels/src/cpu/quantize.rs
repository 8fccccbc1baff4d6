//! Values rounded to those that 8 bits can hold.

use rayon::prelude::*;

use super::CHUNK;
use super::isa::vectorised;
use super::memory::{Slot, Uninit};

/// `(clamp(round(x / scale) + zero_point, 0, 255) − zero_point) · scale`, halves rounded to even: the values that
/// remain when `x` is stored as unsigned bytes.
///
/// # Source
/// PyTorch's `fake_quantize_per_tensor_affine`; ONNX's QuantizeLinear and DequantizeLinear.
pub fn fake_quantize(x: &[f32], scale: f32, zero_point: u8) -> Vec<f32> {
    let mut y = Uninit::new(x.len());
    let chunks = y.slots().par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
    chunks.for_each(|(y, x)| round(y, x, scale, f32::from(zero_point)));
    // SAFETY: `round` wrote every chunk.
    unsafe { y.finish() }
}

/// The least and the greatest value; (∞, −∞) of an empty slice.
pub fn range(x: &[f32]) -> (f32, f32) {
    let chunks = x.par_chunks(CHUNK).map(|chunk| {
        chunk.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
    });
    chunks.reduce(|| (f32::INFINITY, f32::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)))
}

vectorised! {
    fn round(y: &mut [Slot], x: &[f32], scale: f32, zero_point: f32) {
        for (y, x) in y.iter_mut().zip(x) {
            let level = ((x / scale).round_ties_even() + zero_point).clamp(0.0, 255.0);
            y.write((level - zero_point) * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.fake_quantize_per_tensor_affine(torch.tensor([...]), 0.5, 3, 0, 255)`.
    #[test]
    fn values_are_pytorchs() {
        let x = [-9f32, -1.5, -0.25, 0.0, 0.24, 0.25, 0.75, 1.3, 125.9, 300.0];
        assert_eq!(range(&x), (-9.0, 300.0));
        assert_eq!(fake_quantize(&x, 0.5, 3), [-1.5, -1.5, 0.0, 0.0, 0.0, 0.0, 1.0, 1.5, 126.0, 126.0]);
    }
}
