//! The block of a Vision Transformer: attention and MLP, each a pre-norm residual branch.

use candle_core::Tensor;
use tallow_nn::layers::{DropPath, LayerNorm};
use tallow_nn::op::Activation;
use tallow_nn::{Builder, Mode, Result};

use super::add;
use super::attention::Attention;
use super::layer_scale::LayerScale;
use super::mlp::Mlp;

/// The configuration of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BlockSpec {
    /// Channels of a token.
    pub(crate) dim: usize,
    pub(crate) heads: usize,
    /// Hidden channels of the MLP.
    pub(crate) hidden: usize,
    /// The activation of the MLP.
    pub(crate) activation: Activation,
    /// Epsilon of the norms.
    pub(crate) eps: f32,
    /// The initial value of LayerScale, if there is one.
    pub(crate) layer_scale: Option<f32>,
    pub(crate) drop_path: f32,
    /// The rank of the LoRA term of the attention's `qkv`; 0 for none.
    pub(crate) lora_rank: usize,
}

/// `x + attn(norm1(x))`, then `x + mlp(norm2(x))`; `ls1` and `ls2` scale the branches if there is LayerScale.
///
/// # Source
/// Dosovitskiy et al. 2020; timm's `vision_transformer.Block`.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    norm1: LayerNorm,
    attn: Attention,
    ls1: Option<LayerScale>,
    norm2: LayerNorm,
    mlp: Mlp,
    ls2: Option<LayerScale>,
    drop_path: DropPath,
}

impl Block {
    pub(crate) fn new(spec: BlockSpec, b: &Builder) -> Result<Self> {
        let BlockSpec { dim, heads, hidden, activation, eps, layer_scale, drop_path, lora_rank } = spec;
        let scale = |name: &str| layer_scale.map(|init| LayerScale::new(dim, init, &b.pp(name))).transpose();
        Ok(Block {
            norm1: LayerNorm::new(dim, eps, &b.pp("norm1"))?,
            attn: Attention::new(dim, heads, true, lora_rank, &b.pp("attn"))?,
            ls1: scale("ls1")?,
            norm2: LayerNorm::new(dim, eps, &b.pp("norm2"))?,
            mlp: Mlp::new(dim, hidden, activation, 0.0, &b.pp("mlp"))?,
            ls2: scale("ls2")?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    /// `[n, tokens, dim]` → the same.
    pub(crate) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let branch = |y: Tensor, scale: &Option<LayerScale>| match scale {
            Some(scale) => self.drop_path.forward(&scale.forward(&y)?, mode),
            None => self.drop_path.forward(&y, mode),
        };
        let y = self.attn.forward(&self.norm1.forward(x)?, None)?;
        let x = add(x, &branch(y, &self.ls1)?)?;
        let y = self.mlp.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &branch(y, &self.ls2)?)
    }
}
