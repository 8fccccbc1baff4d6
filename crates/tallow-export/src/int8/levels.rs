//! From numbers to bytes.

use candle_core::Tensor;

/// The scale and zero point of an unsigned byte: q stands for `scale · (q − zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels {
    pub(crate) scale: f32,
    pub(crate) zero_point: u8,
}

impl Levels {
    /// For values from `low` to `high`. Zero, which pads images, is always among them.
    pub(super) fn new(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        Levels { scale, zero_point: (-low / scale).round_ties_even() as u8 }
    }
}

/// Weights `[out, …]` as signed bytes, and the scale of each output. The largest weight of an output is 127, unless
/// `least` asks for a larger scale.
pub(crate) fn to_int8(weight: &Tensor, least: impl Fn(usize) -> f32) -> candle_core::Result<(Vec<i8>, Vec<f32>)> {
    let outputs = weight.dims()[0];
    let values = weight.flatten_all()?.to_vec1::<f32>()?;
    let each = (values.len() / outputs.max(1)).max(1);
    let scales: Vec<f32> = values
        .chunks_exact(each)
        .map(|row| row.iter().fold(0f32, |largest, value| largest.max(value.abs())) / 127.0)
        .enumerate()
        .map(|(output, scale)| scale.max(least(output)))
        .map(|scale| if scale > 0.0 { scale } else { 1.0 })
        .collect();
    let bytes = values.iter().enumerate().map(|(i, value)| (value / scales[i / each]).round_ties_even() as i8);
    Ok((bytes.collect(), scales))
}
