//! Between images and rows of tokens.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions};
use tallow_nn::{Builder, Init, Result};

/// PyTorch's default for convolutions.
const CONV_INIT: Init = Init::KaimingUniform(2.236_068);

/// Cuts an image into square patches and maps each to a token: a convolution as wide as its stride.
///
/// # Source
/// timm's `PatchEmbed`, without its norm.
#[derive(Debug, Clone)]
pub(crate) struct PatchEmbed {
    proj: Conv2d,
}

impl PatchEmbed {
    pub(crate) fn new(in_chans: usize, dim: usize, patch: usize, b: &Builder) -> Result<Self> {
        let options = Conv2dOptions { stride: patch, bias: true, init: CONV_INIT, ..Default::default() };
        Ok(PatchEmbed { proj: Conv2d::new(in_chans, dim, patch, options, &b.pp("proj"))? })
    }

    /// `[n, in_chans, h, w]` → `[n, dim, h / patch, w / patch]`.
    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.proj.forward(images)
    }
}

/// `[n, c, h, w]` → `[n, h · w, c]`: a view, since images lie channels-last.
pub(crate) fn tokens(images: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    Ok(images.permute((0, 2, 3, 1))?.reshape((n, h * w, c))?)
}

/// `[n, h · w, c]` → `[n, c, h, w]`, channels-last.
pub(crate) fn image(tokens: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    let (n, _, c) = tokens.dims3()?;
    Ok(tokens.reshape((n, h, w, c))?.permute((0, 3, 1, 2))?)
}
