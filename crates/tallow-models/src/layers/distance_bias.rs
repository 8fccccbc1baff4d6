//! What attention adds to a score for how far two tokens lie apart, down and across.

use candle_core::{Device, Tensor};
use tallow_nn::{Builder, Init, Result};

/// A learned value for each head and each distance down and across.
///
/// # Source
/// Graham et al. 2021 (LeViT), <https://arxiv.org/abs/2104.01136>.
#[derive(Debug, Clone)]
pub(crate) struct DistanceBias {
    /// `[heads, h · w]`.
    biases: Tensor,
    /// Distance of each query from each key, `[queries · keys]`.
    index: Tensor,
    /// (queries, keys).
    shape: (usize, usize),
}

impl DistanceBias {
    /// Under the name `attention_biases`; keys are h × w tokens, queries those `stride` apart.
    pub(crate) fn new((h, w): (usize, usize), stride: usize, heads: usize, b: &Builder) -> Result<Self> {
        let places = |step: usize| (0..h).step_by(step).flat_map(move |y| (0..w).step_by(step).map(move |x| (y, x)));
        let index: Vec<u32> = places(stride)
            .flat_map(|q| places(1).map(move |k| (q.0.abs_diff(k.0) * w + q.1.abs_diff(k.1)) as u32))
            .collect();
        Ok(DistanceBias {
            biases: b.param("attention_biases", &[heads, h * w], Init::ZEROS)?,
            shape: (index.len() / (h * w), h * w),
            index: Tensor::from_iter(index, &Device::Cpu)?,
        })
    }

    /// `[heads, queries, keys]`.
    pub(crate) fn forward(&self) -> Result<Tensor> {
        let (queries, keys) = self.shape;
        Ok(self.biases.index_select(&self.index, 1)?.reshape(((), queries, keys))?)
    }

    /// Which of the values each pair takes, `[queries, keys]`.
    pub(crate) fn index(&self) -> Result<Tensor> {
        Ok(self.index.reshape(self.shape)?)
    }
}
