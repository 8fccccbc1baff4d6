//! Multi-head self-attention over rows of tokens.

use candle_core::{D, Tensor};
use tallow_nn::kernels::softmax::softmax;
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

/// `softmax(scale · q · kᵀ + bias) · v`, head by head. To be replaced.
pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    scale: f32,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let split = |t: &Tensor| -> Result<Tensor> {
        let (b, n, c) = t.dims3()?;
        Ok(t.reshape((b, n, heads, c / heads))?.transpose(1, 2)?.contiguous()?)
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let mut scores = (q.matmul(&k.transpose(D::Minus1, D::Minus2)?)? * f64::from(scale))?;
    let (b, _, nq, nk) = scores.dims4()?;
    if let Some(bias) = bias {
        let m = if bias.rank() == 4 { bias.dims()[0] } else { 1 };
        let bias = bias.reshape((1, m, heads, nq, nk))?;
        scores = scores.reshape((b / m, m, heads, nq, nk))?.broadcast_add(&bias)?.reshape((b, heads, nq, nk))?;
    }
    Ok(softmax(&scores)?.matmul(&v)?.transpose(1, 2)?.contiguous()?.flatten_from(2)?)
}

/// Of `qkv` `[b, n, 3 · heads · d]`, laid out (3, heads, d). To be replaced.
pub(crate) fn attention_qkv(qkv: &Tensor, heads: usize, scale: f32, bias: Option<&Tensor>) -> Result<Tensor> {
    let c = qkv.dims()[2] / 3;
    let part = |i: usize| qkv.narrow(2, i * c, c);
    attention(&part(0)?, &part(1)?, &part(2)?, heads, scale, bias)
}
