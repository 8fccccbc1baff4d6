//! The head of most classifiers: average pooling, perhaps a LayerNorm, dropout, a linear layer.

use candle_core::Tensor;
use tallow_nn::layers::{Dropout, LayerNorm, Linear};
use tallow_nn::op::global_avg_pool;
use tallow_nn::{Mode, Result};

/// Average pooling over height and width, then `linear(dropout(norm(x)))`; the norm is optional.
///
/// # Source
/// timm's `ClassifierHead` and `NormMlpClassifierHead`.
pub(crate) struct ClassifierHead {
    norm: Option<LayerNorm>,
    dropout: Dropout,
    linear: Linear,
}

impl ClassifierHead {
    /// A head without a norm. `drop_rate` is a probability below 1.
    pub(crate) fn new(linear: Linear, drop_rate: f32) -> Result<Self> {
        Ok(ClassifierHead { norm: None, dropout: Dropout::new(drop_rate)?, linear })
    }

    /// A head that normalises the pooled features.
    pub(crate) fn with_norm(norm: LayerNorm, linear: Linear, drop_rate: f32) -> Result<Self> {
        Ok(ClassifierHead { norm: Some(norm), dropout: Dropout::new(drop_rate)?, linear })
    }

    /// `[n, c, h, w]` → `[n, num_classes]`.
    pub(crate) fn forward(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classify(&global_avg_pool(features)?, mode)
    }

    /// Pooled features `[n, c]` → `[n, num_classes]`.
    pub(crate) fn classify(&self, pooled: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = match &self.norm {
            Some(norm) => norm.forward(pooled)?,
            None => pooled.clone(),
        };
        self.linear.forward(&self.dropout.forward(&x, mode)?)
    }
}
