//! Channels of several image batches, one after the other.

use candle_core::Tensor;
use tallow_nn::Result;

/// `[n, c₁, h, w]`, `[n, c₂, h, w]`, … → `[n, c₁ + c₂ + …, h, w]`, channels-last.
pub(crate) fn concat_channels(xs: &[Tensor]) -> Result<Tensor> {
    // Each lies pixel by pixel already: runs of channels are copied, nothing is transposed.
    let pixels = xs.iter().map(|x| x.permute((0, 2, 3, 1))).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&pixels, 3)?.permute((0, 3, 1, 2))?)
}
