//! Blocks that several families share, one a file. Layers with their own kernel are in tallow-nn.

pub(crate) mod adaptive_pool;
pub(crate) mod attention;
pub(crate) mod block;
pub(crate) mod concat;
pub(crate) mod conv_norm_act;
pub(crate) mod distance_bias;
pub(crate) mod grn;
pub(crate) mod group_norm;
pub(crate) mod head;
pub(crate) mod layer_norm2d;
pub(crate) mod layer_scale;
pub(crate) mod lora;
pub(crate) mod mlp;
pub(crate) mod padded_conv;
pub(crate) mod patch_embed;
pub(crate) mod pos_embed;
pub(crate) mod rel_pos;
pub(crate) mod resize;
pub(crate) mod squeeze_excite;
pub(crate) mod windows;

use candle_core::Tensor;
use tallow_nn::op::{self, Activation, add_activate, global_avg_pool};
use tallow_nn::{Init, Result};

/// PyTorch's default initial values of convolutions and linear layers: Kaiming uniform with a slope of √5.
pub(crate) const PYTORCH_DEFAULT: Init = Init::KaimingUniform(2.236_068);

/// The initial weights of linear layers in timm's transformers; biases start at zero.
pub(crate) const TRUNCATED: Init = Init::TruncatedNormal { std: 0.02, limit: 2.0 };

/// The drop path rate of block `index` of `depth`: it grows linearly from 0 to `rate` at the last block.
pub(crate) fn drop_path_rate(rate: f32, index: usize, depth: usize) -> f32 {
    if depth < 2 { 0.0 } else { rate * index as f32 / (depth - 1) as f32 }
}

/// The mean of each channel as a map of one pixel. [`global_avg_pool`] of the result equals that of the map.
///
/// `[n, c, h, w]` → `[n, c, 1, 1]`.
pub(crate) fn average_map(features: &Tensor) -> Result<Tensor> {
    let pooled = global_avg_pool(features)?;
    let (n, c) = pooled.dims2()?;
    op::reshape(&pooled, (n, c, 1, 1))
}

/// The logits of a model with a distillation token: the mean of both classifiers' logits.
pub(crate) fn mean_of_heads(heads: (Tensor, Option<Tensor>)) -> Result<Tensor> {
    Ok(match heads {
        (logits, Some(distilled)) => op::affine(&add(&logits, &distilled)?, 0.5, 0.0)?,
        (logits, None) => logits,
    })
}

/// The sum of a shortcut and a branch of the same shape.
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    add_activate(a, b, Activation::Identity)
}
