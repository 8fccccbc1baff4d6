//! GroupNorm: normalises groups of channels of each image, independently of the batch.

use candle_core::{DType, Tensor};
use tallow_nn::op::{self, layer_norm, permute, reshape, scale_last, transpose};
use tallow_nn::{Builder, Error, Init, Result};

/// Normalises each group of channels of each image to mean 0 and variance 1; `weight` and `bias` have shape `[c]`.
///
/// # Source
/// Wu & He 2018, <https://arxiv.org/abs/1803.08494>; results as PyTorch's `nn.GroupNorm`. With one
/// group it is timm's `GroupNorm1`.
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
        let rows = transpose(&reshape(&permute(x, (0, 2, 3, 1))?, (n, h * w, groups, each))?, 1, 2)?;
        let y = layer_norm(&reshape(&rows, (n, groups, len))?, &ones, &ones.zeros_like()?, self.eps)?;
        let y = transpose(&reshape(&y, (n, groups, h * w, each))?, 1, 2)?;
        let y = scale_last(&reshape(&y, (n, h, w, c))?, &self.weight)?;
        permute(&op::add(&y, &self.bias)?, (0, 3, 1, 2))
    }
}
