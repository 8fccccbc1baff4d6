//! The members of the mobile families: what a network is made of, and its scaling by multipliers.

use tallow_nn::kernels::activation::Activation;
use tallow_nn::layers::BatchNormOptions;

use super::decode::divisible;
use crate::config::{Key, ModelConfig};
use crate::layers::padded_conv::Padding;
use crate::preset::Preset;

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::ChannelMultiplier, Key::DepthMultiplier];

/// What the rows of all these families have in common.
pub(crate) const fn preset(name: &'static str, family: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        interpolation: "bicubic",
        first_conv: "conv_stem",
        classifier: "classifier",
        ..Preset::imagenet(name, family)
    }
}

/// Mean and standard deviation of the weights that TensorFlow's preprocessing was trained with.
pub(crate) const INCEPTION: &[f32] = &[0.5, 0.5, 0.5];

/// What tells one network from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MobileVariant {
    /// The blocks of each stage, as timm writes them.
    pub(crate) stages: &'static [&'static [&'static str]],
    /// Channels of the first convolution.
    pub(crate) stem: usize,
    /// The least channel multiplier that scales these too.
    pub(crate) scale_stem_from: f64,
    /// Multiplies all channels.
    pub(crate) channel_multiplier: f64,
    /// Multiplies the number of blocks of each stage.
    pub(crate) depth_multiplier: f64,
    /// Whether the first and the last stage keep their number of blocks.
    pub(crate) fix_first_last: bool,
    /// Least share of the scaled channels that rounding to a multiple of 8 must leave.
    pub(crate) round_limit: f64,
    pub(crate) head: Head,
    pub(crate) activation: Activation,
    pub(crate) squeeze: Squeeze,
    pub(crate) padding: Padding,
    /// Of each norm.
    pub(crate) eps: f32,
}

/// What lies between the last block and the classifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head {
    /// Pooling of that many channels, before scaling.
    Pool(usize),
    /// A 1×1 convolution with its norm, then pooling: that many channels, scaled.
    Conv(usize),
    /// The same, scaled up but never down.
    ConvAtLeast(usize),
    /// The same, never scaled.
    ConvOf(usize),
    /// Pooling, then the 1×1 convolution, which scaling leaves alone.
    AfterPool {
        /// Channels of the last block, before scaling.
        features: usize,
        hidden: usize,
        /// With a norm instead of a bias.
        norm: bool,
    },
}

/// How squeeze-excite is sized and bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Squeeze {
    /// A share of the block's inputs, the block's activation, a sigmoid.
    OfInputs,
    /// A share of the hidden channels in multiples of 8, ReLU, a hard sigmoid.
    OfHidden,
}

impl MobileVariant {
    /// Of multipliers 1, with ReLU6 and a convolution to 1280 channels before pooling.
    pub(crate) const fn new(stages: &'static [&'static [&'static str]]) -> MobileVariant {
        MobileVariant {
            stages,
            stem: 32,
            scale_stem_from: 0.0,
            channel_multiplier: 1.0,
            depth_multiplier: 1.0,
            fix_first_last: false,
            round_limit: 0.9,
            head: Head::Conv(1280),
            activation: Activation::Relu6,
            squeeze: Squeeze::OfInputs,
            padding: Padding::Even,
            eps: 1e-5,
        }
    }

    pub(crate) const fn scaled(self, channel_multiplier: f64, depth_multiplier: f64) -> MobileVariant {
        MobileVariant { channel_multiplier, depth_multiplier, ..self }
    }

    /// The same with TensorFlow's padding and epsilon.
    pub(crate) const fn tensorflow(self) -> MobileVariant {
        MobileVariant { padding: Padding::Same, eps: 1e-3, ..self }
    }

    /// Channels that the backbone gives.
    pub(super) fn num_features(self, config: &ModelConfig) -> usize {
        let variant = self.with(config);
        match variant.head {
            Head::Pool(channels) | Head::Conv(channels) | Head::AfterPool { features: channels, .. } => {
                variant.round(channels)
            }
            Head::ConvAtLeast(channels) => variant.round(channels).max(channels),
            Head::ConvOf(channels) => channels,
        }
    }

    /// The multipliers of `config` in the place of the preset's.
    pub(super) fn with(self, config: &ModelConfig) -> MobileVariant {
        // 1.1 as f32 lies above 1.1: ten blocks times it would be rounded up to twelve.
        let exact = |value: f32| (f64::from(value) * 1e6).round() / 1e6;
        MobileVariant {
            channel_multiplier: config.channel_multiplier.map_or(self.channel_multiplier, exact),
            depth_multiplier: config.depth_multiplier.map_or(self.depth_multiplier, exact),
            ..self
        }
    }

    pub(super) fn round(&self, channels: usize) -> usize {
        divisible(channels as f64 * self.channel_multiplier, self.round_limit)
    }

    pub(super) fn norm(&self) -> BatchNormOptions {
        BatchNormOptions { eps: self.eps, ..Default::default() }
    }
}
