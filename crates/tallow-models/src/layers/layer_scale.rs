//! LayerScale: a learned factor for each channel of a residual branch, small at first.

use candle_core::Tensor;
use tallow_nn::op::{permute, scale_last};
use tallow_nn::{Builder, Init, Result};

/// `x · gamma`, `gamma` `[dim]`.
///
/// # Source
/// Touvron et al. 2021, <https://arxiv.org/abs/2103.17239>; timm's `LayerScale` and `LayerScale2d`.
#[derive(Debug, Clone)]
pub(crate) struct LayerScale {
    gamma: Tensor,
}

impl LayerScale {
    /// With the parameter name `gamma`.
    pub(crate) fn new(dim: usize, init: f32, b: &Builder) -> Result<Self> {
        LayerScale::named("gamma", dim, init, b)
    }

    /// With another parameter name.
    pub(crate) fn named(name: &str, dim: usize, init: f32, b: &Builder) -> Result<Self> {
        Ok(LayerScale { gamma: b.param(name, &[dim], Init::Constant(init))? })
    }

    /// `[.., dim]` → the same.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scale_last(x, &self.gamma)
    }

    /// `[n, dim, h, w]` → the same.
    pub(crate) fn forward_2d(&self, x: &Tensor) -> Result<Tensor> {
        permute(&self.forward(&permute(x, (0, 2, 3, 1))?)?, (0, 3, 1, 2))
    }
}
