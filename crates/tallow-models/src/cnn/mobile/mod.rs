//! What MobileNetV1 to V4 and the EfficientNets share: a stem, stages of blocks that strings describe, a head.
//!
//! References: timm's `EfficientNet` and `MobileNetV3`. Weight names are theirs: `conv_stem`, `bn1`,
//! `blocks.0.0.conv_dw`, …, `conv_head`, `bn2` (or `norm_head`), `classifier`. Initial values too: normal by
//! fan-out, the classifier's uniform within 1 / √classes. Drop path grows linearly from block to block. Any
//! size of image will do.

mod block;
mod decode;

use candle_core::Tensor;
use tallow_nn::layers::{BatchNormOptions, Dropout, Linear};
use tallow_nn::op::{Activation, activate, global_avg_pool, reshape};
use tallow_nn::{Builder, Init, Mode, Result};

use self::block::Block;
use self::decode::{decode, divisible};
use crate::config::{Key, ModelConfig};
use crate::layers::average_map;
use crate::layers::conv_bn_act::ConvBnAct;
use crate::layers::same_pad::{ConvSpec, PaddedConv2d, Padding};
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// What tells one network from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
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

impl Layout {
    /// Of multipliers 1, with ReLU6 and a convolution to 1280 channels before pooling.
    pub(crate) const fn new(stages: &'static [&'static [&'static str]]) -> Layout {
        Layout {
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

    pub(crate) const fn scaled(self, channel_multiplier: f64, depth_multiplier: f64) -> Layout {
        Layout { channel_multiplier, depth_multiplier, ..self }
    }

    /// The same with TensorFlow's padding and epsilon.
    pub(crate) const fn tensorflow(self) -> Layout {
        Layout { padding: Padding::Same, eps: 1e-3, ..self }
    }

    /// Channels that the backbone gives.
    pub(crate) fn num_features(self, config: &ModelConfig) -> usize {
        let layout = self.with(config);
        match layout.head {
            Head::Pool(channels) | Head::Conv(channels) | Head::AfterPool { features: channels, .. } => {
                layout.round(channels)
            }
            Head::ConvAtLeast(channels) => layout.round(channels).max(channels),
            Head::ConvOf(channels) => channels,
        }
    }

    /// The multipliers of `config` in the place of the preset's.
    fn with(self, config: &ModelConfig) -> Layout {
        // 1.1 as f32 lies above 1.1: ten blocks times it would be rounded up to twelve.
        let exact = |value: f32| (f64::from(value) * 1e6).round() / 1e6;
        Layout {
            channel_multiplier: config.channel_multiplier.map_or(self.channel_multiplier, exact),
            depth_multiplier: config.depth_multiplier.map_or(self.depth_multiplier, exact),
            ..self
        }
    }

    fn round(&self, channels: usize) -> usize {
        divisible(channels as f64 * self.channel_multiplier, self.round_limit)
    }

    fn norm(&self) -> BatchNormOptions {
        BatchNormOptions { eps: self.eps, ..Default::default() }
    }
}

/// What the rows of all these families have in common.
pub(crate) const fn preset(name: &'static str, family: &'static str, arch: Arch) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate, Key::ChannelMultiplier, Key::DepthMultiplier],
        interpolation: "bicubic",
        first_conv: "conv_stem",
        classifier: "classifier",
        ..Preset::imagenet(name, family, arch)
    }
}

/// Mean and standard deviation of the weights that TensorFlow's preprocessing was trained with.
pub(crate) const INCEPTION: &[f32] = &[0.5, 0.5, 0.5];

pub(crate) struct MobileNet {
    stem: ConvBnAct,
    blocks: Vec<Block>,
    /// Before pooling.
    head: Option<ConvBnAct>,
    /// After it.
    hidden: Option<Hidden>,
    dropout: Dropout,
    classifier: Linear,
}

/// The 1×1 convolution on pooled features.
enum Hidden {
    Active(PaddedConv2d, Activation),
    Norm(ConvBnAct),
}

impl MobileNet {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let layout = layout.with(config);
        let active = layout.activation;
        let scaled = layout.channel_multiplier >= layout.scale_stem_from;
        let mut channels = if scaled { layout.round(layout.stem) } else { layout.stem };
        let spec = ConvSpec { stride: 2, padding: layout.padding, ..ConvSpec::new(config.in_chans, channels, 3) };
        let stem = ConvBnAct::named(("conv_stem", "bn1"), spec, layout.norm(), active, b)?;

        let stages = decode(layout.stages, layout.depth_multiplier, layout.fix_first_last)?;
        let total: usize = stages.iter().map(Vec::len).sum();
        let mut blocks = Vec::new();
        for (s, stage) in stages.into_iter().enumerate() {
            for (i, args) in stage.into_iter().enumerate() {
                let outputs = layout.round(args.channels);
                let drop_path = config.drop_path_rate * blocks.len() as f32 / total as f32;
                let b = b.pp("blocks").pp(s).pp(i);
                blocks.push(Block::new(args, (channels, outputs), &layout, drop_path, &b)?);
                channels = outputs;
            }
        }

        let features = layout.num_features(config);
        let mut inputs = features;
        let (mut head, mut hidden) = (None, None);
        match layout.head {
            Head::Pool(_) => {}
            Head::Conv(_) | Head::ConvAtLeast(_) | Head::ConvOf(_) => {
                let spec = ConvSpec::new(channels, features, 1);
                head = Some(ConvBnAct::named(("conv_head", "bn2"), spec, layout.norm(), active, b)?);
            }
            Head::AfterPool { hidden: width, norm, .. } => {
                let spec = ConvSpec { bias: !norm, ..ConvSpec::new(channels, width, 1) };
                let names = ("conv_head", "norm_head");
                hidden = Some(match norm {
                    true => Hidden::Norm(ConvBnAct::named(names, spec, layout.norm(), active, b)?),
                    false => Hidden::Active(spec.build(&b.pp(names.0))?, active),
                });
                inputs = width;
            }
        }
        let bound = 1.0 / (config.num_classes as f32).sqrt();
        Ok(MobileNet {
            stem,
            blocks,
            head,
            hidden,
            dropout: Dropout::new(config.drop_rate)?,
            classifier: Linear::new(inputs, config.num_classes, true, Init::Uniform(bound), &b.pp("classifier"))?,
        })
    }
}

impl Model for MobileNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        match &self.head {
            Some(head) => head.forward(&x, mode),
            None => Ok(x),
        }
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = global_avg_pool(features)?;
        if let Some(hidden) = &self.hidden {
            let (n, c) = x.dims2()?;
            let pixels = reshape(&x, (n, c, 1, 1))?;
            let y = match hidden {
                Hidden::Active(conv, activation) => activate(&conv.forward(&pixels)?, *activation)?,
                Hidden::Norm(conv) => conv.forward(&pixels, mode)?,
            };
            x = reshape(&y, (n, y.dims()[1]))?;
        }
        self.classifier.forward(&self.dropout.forward(&x, mode)?)
    }
}
