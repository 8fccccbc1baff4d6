//! LayerNorm over the channels of each pixel of an image batch.

use candle_core::Tensor;
use tallow_nn::layers::LayerNorm;
use tallow_nn::op::permute;
use tallow_nn::{Builder, Result};

/// LayerNorm over `c` of `[n, c, h, w]`; `weight` and `bias` `[c]`.
///
/// # Source
/// timm's `LayerNorm2d`.
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm2d(LayerNorm);

impl LayerNorm2d {
    pub(crate) fn new(channels: usize, eps: f32, b: &Builder) -> Result<Self> {
        Ok(LayerNorm2d(LayerNorm::new(channels, eps, b)?))
    }

    /// `[n, c, h, w]` → the same, channels-last.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // Channels-last tensors: the permutation is a view, not a copy.
        permute(&self.0.forward(&permute(x, (0, 2, 3, 1))?)?, (0, 3, 1, 2))
    }
}
