//! Blocks that several families share, one a file; layers with a kernel of their own are in tallow-nn.

pub(crate) mod attention;
pub(crate) mod conv_bn_act;
pub(crate) mod layer_norm2d;
pub(crate) mod layer_scale;
pub(crate) mod mlp;
pub(crate) mod patch_embed;
pub(crate) mod pos_embed;
pub(crate) mod same_pad;
pub(crate) mod squeeze_excite;

use tallow_nn::Init;

/// How timm's transformers start their linear layers; biases start at zero.
pub(crate) const TRUNCATED: Init = Init::TruncatedNormal { std: 0.02, limit: 2.0 };

/// Drop path of block `index` of `depth`: from 0 linearly to `rate` at the last.
pub(crate) fn drop_path_rate(rate: f32, index: usize, depth: usize) -> f32 {
    if depth < 2 { 0.0 } else { rate * index as f32 / (depth - 1) as f32 }
}
