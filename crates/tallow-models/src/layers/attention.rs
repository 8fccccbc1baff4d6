//! Multi-head self-attention over rows of tokens.

use candle_core::Tensor;
use tallow_nn::kernels::attention::attention_qkv;
use tallow_nn::layers::Linear;
use tallow_nn::{Builder, Result};

use super::TRUNCATED;

/// Queries, keys and values from one linear layer, and another on what the heads found together.
///
/// # Source
/// Vaswani et al. 2017; timm's `Attention`.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
    scale: f32,
}

impl Attention {
    /// `heads` must divide `dim`.
    pub(crate) fn new(dim: usize, heads: usize, qkv_bias: bool, b: &Builder) -> Result<Self> {
        Ok(Attention {
            qkv: Linear::new(dim, 3 * dim, qkv_bias, TRUNCATED, &b.pp("qkv"))?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &b.pp("proj"))?,
            heads,
            scale: 1.0 / ((dim / heads) as f32).sqrt(),
        })
    }

    /// `[n, tokens, dim]` → the same. `bias` is added to the scores: `[heads, tokens, tokens]`, or
    /// `[m, heads, tokens, tokens]` where m divides n and row i takes `bias[i % m]`.
    pub(crate) fn forward(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        self.proj.forward(&attention_qkv(&self.qkv.forward(x)?, self.heads, self.scale, bias)?)
    }
}
