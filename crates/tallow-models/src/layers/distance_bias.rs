//! Distance bias: a learned term of attention scores for the absolute offset of two tokens.

use candle_core::Tensor;
use tallow_nn::{Builder, Init, Result};

/// One learned value for each head and each vertical and horizontal distance.
///
/// # Source
/// Graham et al. 2021 (LeViT), <https://arxiv.org/abs/2104.01136>.
#[derive(Debug, Clone)]
pub(crate) struct DistanceBias {
    /// `[heads, h · w]`.
    biases: Tensor,
    /// Index of the value for each pair of query and key, `[queries · keys]`.
    index: Tensor,
    /// (queries, keys).
    shape: (usize, usize),
}

impl DistanceBias {
    /// For keys of h × w tokens and queries of every `stride`-th of them; the parameter is `attention_biases`.
    pub(crate) fn new((h, w): (usize, usize), stride: usize, heads: usize, b: &Builder) -> Result<Self> {
        let places = |step: usize| (0..h).step_by(step).flat_map(move |y| (0..w).step_by(step).map(move |x| (y, x)));
        let index: Vec<u32> = places(stride)
            .flat_map(|q| places(1).map(move |k| (q.0.abs_diff(k.0) * w + q.1.abs_diff(k.1)) as u32))
            .collect();
        Ok(DistanceBias {
            biases: b.param("attention_biases", &[heads, h * w], Init::ZEROS)?,
            shape: (index.len() / (h * w), h * w),
            index: Tensor::from_iter(index, b.device())?,
        })
    }

    /// `[heads, queries, keys]`.
    pub(crate) fn forward(&self) -> Result<Tensor> {
        let (queries, keys) = self.shape;
        Ok(self.biases.index_select(&self.index, 1)?.reshape(((), queries, keys))?)
    }

    /// The index of the value of each pair, `[queries, keys]`.
    pub(crate) fn index(&self) -> Result<Tensor> {
        Ok(self.index.reshape(self.shape)?)
    }
}
