//! What every architecture offers, and what `build` hands over.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use tallow_nn::{Mode, ParamStore, Result};

use crate::config::ModelConfig;
use crate::preset::Preset;

/// An image classifier: a backbone and a classifier on it.
pub trait Model: Send + Sync {
    /// Logits of a batch of images.
    ///
    /// # Shapes
    /// `[n, in_chans, h, w]` → `[n, num_classes]`.
    ///
    /// # Errors
    /// An input of another shape or type.
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.forward_head(&self.forward_features(images, mode)?, mode)
    }

    /// What the backbone makes of the images, before pooling.
    ///
    /// # Shapes
    /// `[n, in_chans, h, w]` → `[n, num_features, h', w']`.
    ///
    /// # Errors
    /// An input of another shape or type.
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor>;

    /// What the classifier needs of the features, as small as can be: [`forward_head`](Self::forward_head) makes the same of
    /// both, to the bit. For keeping features of many images.
    ///
    /// # Shapes
    /// `[n, num_features, h', w']` → `[n, num_features, 1, 1]` where the mean or the maximum of each channel is all; `[n,
    /// tokens, num_features]` → the first of them where those are; else the features.
    ///
    /// # Errors
    /// An input of another shape or type.
    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.clone())
    }

    /// Pooling, dropout, classifier.
    ///
    /// # Shapes
    /// `[n, num_features, h', w']` → `[n, num_classes]`.
    ///
    /// # Errors
    /// An input of another shape or type.
    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor>;

    /// The logits of the classifier, and apart from them those of the distillation token's where the model has one: labels
    /// teach the first and a teacher the second. [`forward_head`](Self::forward_head) gives their mean.
    ///
    /// # Shapes
    /// `[n, num_features, h', w']` → `[n, num_classes]` each.
    ///
    /// # Errors
    /// An input of another shape or type.
    fn forward_heads(&self, features: &Tensor, mode: &Mode) -> Result<(Tensor, Option<Tensor>)> {
        Ok((self.forward_head(features, mode)?, None))
    }
}

/// A model, its parameters and what it was built from.
pub struct Built {
    /// The forward pass.
    pub model: Box<dyn Model>,
    /// Parameters and buffers, in timm's order and under timm's names.
    pub store: ParamStore,
    /// Name, configuration, layout.
    pub info: ModelInfo,
}

impl Built {
    /// Multiply-accumulates of convolutions and linear layers for one image of the configured size, as
    /// the papers and fvcore count them. Measured on a forward pass, not derived.
    ///
    /// # Errors
    /// When the forward pass fails.
    pub fn macs(&self) -> Result<u64> {
        let ModelConfig { in_chans, input_size: (h, w), .. } = self.info.config;
        let image = Tensor::zeros((1, in_chans, h, w), DType::F32, &Device::Cpu)?;
        let (logits, macs) = tallow_nn::macs::count(|| self.model.forward(&image, &Mode::eval()));
        logits.map(|_| macs)
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a model was built from.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The architecture's row of the registry, or a preset of your own.
    pub preset: Cow<'static, Preset>,
    /// The configuration that it was built with.
    pub config: ModelConfig,
    /// Channels of the features that the classifier sees.
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
