//! Patch embedding: from images to tokens.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions};
use tallow_nn::{Builder, Result};

use super::PYTORCH_DEFAULT;

/// Cuts an image into square patches and maps each to a token, by a convolution whose kernel equals its stride.
///
/// # Source
/// timm's `PatchEmbed`, without its norm.
#[derive(Debug, Clone)]
pub(crate) struct PatchEmbed {
    proj: Conv2d,
}

impl PatchEmbed {
    pub(crate) fn new(in_chans: usize, dim: usize, patch: usize, b: &Builder) -> Result<Self> {
        let options = Conv2dOptions { stride: patch, bias: true, init: PYTORCH_DEFAULT, ..Default::default() };
        Ok(PatchEmbed { proj: Conv2d::new(in_chans, dim, patch, options, &b.pp("proj"))? })
    }

    /// `[n, in_chans, h, w]` → `[n, dim, h / patch, w / patch]`.
    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.proj.forward(images)
    }
}
