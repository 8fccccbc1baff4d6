//! GroupNorm: an image's channels normalised in groups, whatever the batch.

use candle_core::{DType, Tensor};
use tallow_nn::kernels::norm::layer_norm;
use tallow_nn::kernels::scale::scale_last;
use tallow_nn::{Builder, Error, Init, Result};

/// Mean and variance of each group of channels of each image; `weight` and `bias` `[c]`.
///
/// # Source
/// Wu & He 2018, <https://arxiv.org/abs/1803.08494>; numbers as PyTorch's `nn.GroupNorm`, one group: timm's
/// `GroupNorm1`.
#[derive(Debug, Clone)]
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f32,
}

impl GroupNorm {
    pub(crate) fn new(groups: usize, channels: usize, eps: f32, b: &Builder) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            let reason = format!("{groups} groups must divide {channels} channels");
            return Err(Error::Config { op: "GroupNorm", reason });
        }
        let weight = b.param("weight", &[channels], Init::ONES)?;
        Ok(GroupNorm { weight, bias: b.param("bias", &[channels], Init::ZEROS)?, groups, eps })
    }

    /// `[n, c, h, w]` → the same, channels-last.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let (groups, each) = (self.groups, c / self.groups);
        let len = h * w * each;
        let ones = Tensor::ones(len, DType::F32, x.device())?;
        let rows = x.permute((0, 2, 3, 1))?.reshape((n, h * w, groups, each))?.transpose(1, 2)?;
        let y = layer_norm(&rows.reshape((n, groups, len))?, &ones, &ones.zeros_like()?, self.eps)?;
        let y = y.reshape((n, groups, h * w, each))?.transpose(1, 2)?.reshape((n, h, w, c))?;
        Ok(scale_last(&y, &self.weight)?.broadcast_add(&self.bias)?.permute((0, 3, 1, 2))?)
    }
}
