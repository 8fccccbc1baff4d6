//! The variants of the mobile networks, and their scaling by multipliers.

use tallow_nn::layers::BatchNormOptions;
use tallow_nn::op::Activation;

use super::decode::divisible;
use crate::config::{Key, ModelConfig};
use crate::layers::padded_conv::Padding;
use crate::preset::Preset;

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::ChannelMultiplier, Key::DepthMultiplier];

/// A preset with the defaults of all mobile families.
pub(crate) const fn preset(name: &'static str, family: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        interpolation: "bicubic",
        first_conv: "conv_stem",
        classifier: "classifier",
        ..Preset::imagenet(name, family)
    }
}

/// Mean and standard deviation of TensorFlow's preprocessing.
pub(crate) const INCEPTION: &[f32] = &[0.5, 0.5, 0.5];

/// A variant of a mobile network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MobileVariant {
    /// The blocks of each stage, as timm writes them.
    pub(crate) stages: &'static [&'static [&'static str]],
    /// Channels of the first convolution.
    pub(crate) stem: usize,
    /// The smallest channel multiplier that scales the stem too.
    pub(crate) scale_stem_from: f64,
    /// Multiplies all channels.
    pub(crate) channel_multiplier: f64,
    /// Multiplies the number of blocks of each stage.
    pub(crate) depth_multiplier: f64,
    /// Whether the first and the last stage keep their number of blocks.
    pub(crate) fix_first_last: bool,
    /// The fraction of the scaled channels that rounding to a multiple of 8 must leave at least.
    pub(crate) round_limit: f64,
    pub(crate) head: Head,
    pub(crate) activation: Activation,
    pub(crate) squeeze: Squeeze,
    pub(crate) padding: Padding,
    /// Epsilon of the norms.
    pub(crate) eps: f32,
}

/// The layers between the last block and the classifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head {
    /// Pooling of this many channels, before scaling.
    Pool(usize),
    /// A 1×1 convolution to this many channels, scaled, with a norm; then pooling.
    Conv(usize),
    /// As `Conv`; a multiplier below 1 does not scale the channels.
    ConvAtLeast(usize),
    /// As `Conv`; the channels are not scaled.
    ConvOf(usize),
    /// Pooling, then a 1×1 convolution, which is not scaled.
    AfterPool {
        /// Channels of the last block, before scaling.
        features: usize,
        hidden: usize,
        /// Whether the convolution has a norm instead of a bias.
        norm: bool,
    },
}

/// Width and activations of squeeze-excite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Squeeze {
    /// A fraction of the block's inputs; the block's activation and a sigmoid.
    OfInputs,
    /// A fraction of the hidden channels in multiples of 8; ReLU and a hard sigmoid.
    OfHidden,
}

impl MobileVariant {
    /// Multipliers of 1, ReLU6, and a convolution to 1280 channels before pooling.
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

    /// This variant with TensorFlow's padding and epsilon.
    pub(crate) const fn tensorflow(self) -> MobileVariant {
        MobileVariant { padding: Padding::Same, eps: 1e-3, ..self }
    }

    /// The number of channels of the features.
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

    /// This variant with the multipliers of the config.
    pub(super) fn with(self, config: &ModelConfig) -> MobileVariant {
        // 1.1 as f32 is above 1.1: ten blocks times it would round up to twelve.
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
