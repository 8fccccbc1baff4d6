//! The trait [`Model`], and the struct of a model with its parameters that `build` returns.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use tallow_nn::{Mode, ParamStore, Result};

use crate::config::ModelConfig;
use crate::preset::Preset;

/// An image classifier: a backbone and a classifier.
pub trait Model: Send + Sync {
    /// Computes the logits of a batch of images.
    ///
    /// # Shapes
    /// `[n, in_chans, h, w]` → `[n, num_classes]`.
    ///
    /// # Errors
    /// An input of another shape or dtype.
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.forward_head(&self.forward_features(images, mode)?, mode)
    }

    /// Computes the features of the backbone, before pooling.
    ///
    /// # Shapes
    /// `[n, in_chans, h, w]` → `[n, num_features, h', w']`.
    ///
    /// # Errors
    /// An input of another shape or dtype.
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor>;

    /// Reduces the features to what the classifier needs, for keeping the features of many images:
    /// [`forward_head`](Self::forward_head) returns the same logits for both, bit for bit.
    ///
    /// # Shapes
    /// `[n, num_features, h', w']` → `[n, num_features, 1, 1]` if the classifier pools each channel; `[n, tokens,
    /// num_features]` → `[n, first tokens, num_features]` if it reads the first tokens. By default the features
    /// themselves.
    ///
    /// # Errors
    /// An input of another shape or dtype.
    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.clone())
    }

    /// Computes the logits from the features: pooling, dropout, classifier.
    ///
    /// # Shapes
    /// `[n, num_features, h', w']` → `[n, num_classes]`.
    ///
    /// # Errors
    /// An input of another shape or dtype.
    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor>;

    /// Computes the logits of the classifier and, if the model has one, of the distillation token's classifier. In
    /// distillation the labels train the first and the teacher trains the second. [`forward_head`](Self::forward_head)
    /// returns their mean.
    ///
    /// # Shapes
    /// `[n, num_features, h', w']` → `[n, num_classes]` each.
    ///
    /// # Errors
    /// An input of another shape or dtype.
    fn forward_heads(&self, features: &Tensor, mode: &Mode) -> Result<(Tensor, Option<Tensor>)> {
        Ok((self.forward_head(features, mode)?, None))
    }
}

/// A model with its parameters and its description. `model`, `store` and `info` may be those of a model of your own.
pub struct BuiltModel {
    /// The forward pass.
    pub model: Box<dyn Model>,
    /// Parameters and buffers, in timm's order and under timm's names.
    pub store: ParamStore,
    /// Preset and configuration.
    pub info: ModelInfo,
}

impl BuiltModel {
    /// Counts the multiply-accumulates of convolutions, linear layers and attention for one image of the configured
    /// size, by a forward pass. Papers and fvcore count the same.
    ///
    /// # Errors
    /// The forward pass fails.
    pub fn macs(&self) -> Result<u64> {
        let ModelConfig { in_chans, input_size: (h, w), .. } = self.info.config;
        let device = self.store.parameters().next().map_or(&Device::Cpu, |(_, parameter)| parameter.device());
        let image = Tensor::zeros((1, in_chans, h, w), DType::F32, device)?;
        let (logits, macs) = tallow_nn::macs::count(|| self.model.forward(&image, &Mode::eval()));
        logits.map(|_| macs)
    }
}

impl std::fmt::Debug for BuiltModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltModel").field("info", &self.info).finish_non_exhaustive()
    }
}

/// The description of a model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The architecture's row of the registry, or a preset of your own.
    pub preset: Cow<'static, Preset>,
    /// The configuration that it was built with.
    pub config: ModelConfig,
    /// The number of channels of the features.
    pub num_features: usize,
}

impl From<Preset> for Cow<'static, Preset> {
    fn from(preset: Preset) -> Self {
        Cow::Owned(preset)
    }
}

impl From<&'static Preset> for Cow<'static, Preset> {
    fn from(preset: &'static Preset) -> Self {
        Cow::Borrowed(preset)
    }
}

impl ModelInfo {
    /// The architecture's name: `resnet18`.
    pub fn name(&self) -> &'static str {
        self.preset.name
    }
}
