//! Blocks that several families share, one a file; layers with a kernel of their own are in tallow-nn.

pub(crate) mod adaptive_pool;
pub(crate) mod attention;
pub(crate) mod block;
pub(crate) mod concat;
pub(crate) mod conv_bn_act;
pub(crate) mod conv_norm;
pub(crate) mod distance_bias;
pub(crate) mod grn;
pub(crate) mod group_norm;
pub(crate) mod layer_norm2d;
pub(crate) mod layer_scale;
pub(crate) mod lora;
pub(crate) mod mlp;
pub(crate) mod patch_embed;
pub(crate) mod pos_embed;
pub(crate) mod rel_pos;
pub(crate) mod resize;
pub(crate) mod same_pad;
pub(crate) mod squeeze_excite;
pub(crate) mod windows;

use candle_core::Tensor;
use tallow_nn::op;
use tallow_nn::op::{Activation, add_activate, global_avg_pool};
use tallow_nn::{Init, Result};

/// How timm's transformers start their linear layers; biases start at zero.
pub(crate) const TRUNCATED: Init = Init::TruncatedNormal { std: 0.02, limit: 2.0 };

/// Drop path of block `index` of `depth`: from 0 linearly to `rate` at the last.
pub(crate) fn drop_path_rate(rate: f32, index: usize, depth: usize) -> f32 {
    if depth < 2 { 0.0 } else { rate * index as f32 / (depth - 1) as f32 }
}

/// The mean of each channel as a map of one pixel, of which [`global_avg_pool`] makes what it makes of the map itself.
///
/// `[n, c, h, w]` → `[n, c, 1, 1]`.
pub(crate) fn average_map(features: &Tensor) -> Result<Tensor> {
    let pooled = global_avg_pool(features)?;
    let (n, c) = pooled.dims2()?;
    op::reshape(&pooled, (n, c, 1, 1))
}

/// The logits of a model that has a distillation token: in evaluation, and without a teacher, the mean of both classifiers'.
pub(crate) fn mean_of_heads(heads: (Tensor, Option<Tensor>)) -> Result<Tensor> {
    Ok(match heads {
        (logits, Some(distilled)) => op::affine(&add(&logits, &distilled)?, 0.5, 0.0)?,
        (logits, None) => logits,
    })
}

/// A shortcut and its branch, of one shape.
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    add_activate(a, b, Activation::Identity)
}
