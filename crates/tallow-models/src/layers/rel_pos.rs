//! Relative position bias: a learned term of attention scores for the offset of two tokens.

use candle_core::Tensor;
use tallow_nn::{Builder, Result};

use super::TRUNCATED;

/// One learned value for each head and each offset within a window.
///
/// # Source
/// Liu et al. 2021 (Swin), <https://arxiv.org/abs/2103.14030>; timm's `RelPosBias`.
#[derive(Debug, Clone)]
pub(crate) struct RelPosBias {
    /// `[(2h − 1) · (2w − 1), heads]`.
    table: Tensor,
    /// Row of the table for each pair of tokens, `[(h · w)²]`.
    index: Tensor,
    tokens: usize,
    heads: usize,
}

impl RelPosBias {
    /// For a window of h × w tokens; the parameter is `relative_position_bias_table`.
    pub(crate) fn new(window: (usize, usize), heads: usize, b: &Builder) -> Result<Self> {
        let (h, w) = window;
        let shape = [(2 * h - 1) * (2 * w - 1), heads];
        let index = pairs(window).map(|(q, k)| {
            let (down, right) = (h - 1 + q.0 - k.0, w - 1 + q.1 - k.1);
            (down * (2 * w - 1) + right) as u32
        });
        Ok(RelPosBias {
            table: b.param("relative_position_bias_table", &shape, TRUNCATED)?,
            index: Tensor::from_iter(index, b.device())?,
            tokens: h * w,
            heads,
        })
    }

    /// `[heads, h · w, h · w]`.
    pub(crate) fn forward(&self) -> Result<Tensor> {
        let bias = self.table.index_select(&self.index, 0)?;
        Ok(bias.t()?.reshape((self.heads, self.tokens, self.tokens))?)
    }
}

type Place = (usize, usize);

/// Every pair of query and key of a window, row by row.
fn pairs((h, w): (usize, usize)) -> impl Iterator<Item = (Place, Place)> {
    let place = move |i: usize| (i / w, i % w);
    (0..h * w).flat_map(move |q| (0..h * w).map(move |k| (place(q), place(k))))
}
