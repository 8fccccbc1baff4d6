//! Multi-head self-attention over tokens.

use candle_core::Tensor;
use tallow_nn::layers::Linear;
use tallow_nn::op::{attention_qkv, narrow, reshape};
use tallow_nn::{Builder, Result};

use super::lora::Lora;
use super::{TRUNCATED, add};

/// `proj(attention(qkv(x)))` over several heads.
///
/// # Source
/// Vaswani et al. 2017; timm's `Attention`.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    qkv: Linear,
    lora: Option<Lora>,
    proj: Linear,
    heads: usize,
    scale: f32,
}

impl Attention {
    /// `heads` must divide `dim`; a `lora_rank` above 0 adds a low-rank term to `qkv`.
    pub(crate) fn new(dim: usize, heads: usize, qkv_bias: bool, lora_rank: usize, b: &Builder) -> Result<Self> {
        Ok(Attention {
            qkv: Linear::new(dim, 3 * dim, qkv_bias, TRUNCATED, &b.pp("qkv"))?,
            lora: Lora::new(dim, 3 * dim, lora_rank, &b.pp("qkv"))?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &b.pp("proj"))?,
            heads,
            scale: 1.0 / ((dim / heads) as f32).sqrt(),
        })
    }

    /// `[n, tokens, dim]` → the same. `bias` is added to the scores: `[heads, tokens, tokens]`, or
    /// `[m, heads, tokens, tokens]` where m divides n and row i takes `bias[i % m]`.
    pub(crate) fn forward(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let qkv = match &self.lora {
            Some(lora) => add(&qkv, &lora.forward(x)?)?,
            None => qkv,
        };
        self.proj.forward(&attention_qkv(&qkv, self.heads, self.scale, bias)?)
    }
}

/// Splits `[n, tokens, heads · Σ widths]`, stored head by head, into one `[n, tokens, heads · width]` for each width.
pub(crate) fn split_heads<const N: usize>(x: &Tensor, heads: usize, widths: [usize; N]) -> Result<[Tensor; N]> {
    let (n, l, c) = x.dims3()?;
    let x = reshape(x, (n, l, heads, c / heads))?;
    let mut start = 0;
    let mut parts = Vec::with_capacity(N);
    for width in widths {
        parts.push(reshape(&narrow(&x, 3, start, width)?, (n, l, heads * width))?);
        start += width;
    }
    Ok(std::array::from_fn(|i| parts[i].clone()))
}
