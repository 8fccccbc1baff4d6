//! Conversion of pixels to a Candle tensor. Needs the feature `candle`.

use candle_core::{Device, Tensor};

/// The tensor `[n, channels, height, width]` of pixels in the order `[n, height, width, channels]`, in which a
/// [`Pipeline`] writes images one after another.
///
/// [`Pipeline`]: crate::Pipeline
///
/// # Errors
/// The number of pixels does not fit the shape; the device is out of memory.
pub fn to_tensor(
    pixels: Vec<f32>,
    (n, height, width, channels): (usize, usize, usize, usize),
    device: &Device,
) -> candle_core::Result<Tensor> {
    Tensor::from_vec(pixels, (n, height, width, channels), device)?.permute((0, 3, 1, 2))?.contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_first() {
        let tensor = to_tensor((0..12).map(|v| v as f32).collect(), (1, 2, 2, 3), &Device::Cpu).unwrap();
        assert_eq!(tensor.dims(), [1, 3, 2, 2]);
        let green = tensor.get(0).unwrap().get(1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(green, [1.0, 4.0, 7.0, 10.0]);
        assert!(to_tensor(vec![0.0; 5], (1, 2, 2, 3), &Device::Cpu).is_err());
    }
}
