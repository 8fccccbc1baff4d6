//! Global response normalisation: channels compete by how strong they are over the whole image.

use candle_core::{D, Tensor};
use tallow_nn::kernels::pool::global_avg_pool;
use tallow_nn::kernels::scale::scale_channels;
use tallow_nn::{Builder, Init, Result};

/// `x + weight · x · g / (mean of g + 1e-6) + bias`, where `g` is each channel's norm over height and width;
/// `weight` and `bias` `[c]`, both zero at first.
///
/// # Source
/// Woo et al. 2023, <https://arxiv.org/abs/2301.00808>; timm's `GlobalResponseNorm`.
#[derive(Debug, Clone)]
pub(crate) struct GlobalResponseNorm {
    weight: Tensor,
    bias: Tensor,
}

impl GlobalResponseNorm {
    pub(crate) fn new(channels: usize, b: &Builder) -> Result<Self> {
        let weight = b.param("weight", &[channels], Init::ZEROS)?;
        Ok(GlobalResponseNorm { weight, bias: b.param("bias", &[channels], Init::ZEROS)? })
    }

    /// `[n, c, h, w]` → the same, channels-last.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let pixels = x.permute((0, 2, 3, 1))?;
        let squares = global_avg_pool(&pixels.sqr()?.permute((0, 3, 1, 2))?)?;
        // A little more than zero, where the square root has a slope.
        let norms = ((squares * (h * w) as f64)? + 1e-24)?.sqrt()?;
        let relative = norms.broadcast_div(&(norms.mean_keepdim(D::Minus1)? + 1e-6)?)?;
        let gates = (relative.broadcast_mul(&self.weight)? + 1.0)?;
        let scaled = scale_channels(x, &gates)?.permute((0, 2, 3, 1))?;
        Ok(scaled.broadcast_add(&self.bias)?.permute((0, 3, 1, 2))?)
    }
}
