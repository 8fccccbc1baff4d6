//! Concatenation of channels.

use candle_core::Tensor;
use tallow_nn::Result;
use tallow_nn::op::{cat, permute};

/// `[n, c₁, h, w]`, `[n, c₂, h, w]`, … → `[n, c₁ + c₂ + …, h, w]`, channels-last.
pub(crate) fn concat_channels(xs: &[Tensor]) -> Result<Tensor> {
    // The inputs are channels-last already: runs of channels are copied, nothing is transposed.
    let pixels = xs.iter().map(|x| permute(x, (0, 2, 3, 1))).collect::<Result<Vec<_>>>()?;
    permute(&cat(&pixels.iter().collect::<Vec<_>>(), 3)?, (0, 3, 1, 2))
}
