//! Global response normalisation: scales each channel by its norm relative to the other channels.

use candle_core::Tensor;
use tallow_nn::op::{self, global_avg_pool, permute, scale_channels};
use tallow_nn::{Builder, Init, Result};

/// `x + weight · x · g / (mean of g + 1e-6) + bias`, where `g` is the norm of each channel over height and width;
/// `weight` and `bias` have shape `[c]` and start at zero.
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
        let pixels = permute(x, (0, 2, 3, 1))?;
        let squares = global_avg_pool(&permute(&op::square(&pixels)?, (0, 3, 1, 2))?)?;
        // The offset keeps the gradient of the square root finite at zero.
        let norms = op::sqrt(&op::affine(&squares, (h * w) as f64, 1e-24)?)?;
        let relative = op::divide(&norms, &op::affine(&op::mean_last(&norms)?, 1.0, 1e-6)?)?;
        let gates = op::affine(&op::multiply(&relative, &self.weight)?, 1.0, 1.0)?;
        let scaled = permute(&scale_channels(x, &gates)?, (0, 2, 3, 1))?;
        permute(&op::add(&scaled, &self.bias)?, (0, 3, 1, 2))
    }
}
