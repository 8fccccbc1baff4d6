//! The network of MobileNetV1 to V4 and the EfficientNets: a stem, stages of blocks that strings describe, a head.
//!
//! References: timm's `EfficientNet` and `MobileNetV3`. Weight names are timm's: `conv_stem`, `bn1`,
//! `blocks.0.0.conv_dw`, …, `conv_head`, `bn2` (or `norm_head`), `classifier`. Initial values are timm's: normal by
//! fan-out, uniform within 1 / √classes for the classifier. Drop path grows linearly from block to block. The input
//! may have any size.

mod block;
mod decode;
mod variant;

use candle_core::Tensor;
use tallow_nn::layers::Linear;
use tallow_nn::op::{Activation, activate, global_avg_pool, reshape};
use tallow_nn::{Builder, Init, Mode, Result};

use self::block::Block;
use self::decode::decode;
pub(crate) use self::variant::{Head, INCEPTION, MobileVariant, Squeeze, preset};
use crate::config::ModelConfig;
use crate::family::{FamilyTable, boxed};
use crate::layers::average_map;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::layers::padded_conv::{ConvSpec, PaddedConv2d};
use crate::model::Model;
use crate::preset::Preset;

/// A family of mobile networks, defined by its variants.
pub(crate) const fn family(variants: &'static [(Preset, MobileVariant)]) -> FamilyTable<MobileVariant> {
    FamilyTable {
        variants,
        build: |variant, _, config, b| boxed(MobileNet::new(variant, config, b)),
        num_features: |variant, config| variant.num_features(config),
    }
}

struct MobileNet {
    stem: ConvNormAct,
    blocks: Vec<Block>,
    /// The convolution before pooling.
    head: Option<ConvNormAct>,
    /// The convolution after pooling.
    hidden: Option<Hidden>,
    classifier: ClassifierHead,
}

/// The 1×1 convolution on pooled features.
enum Hidden {
    Active(PaddedConv2d, Activation),
    Norm(ConvNormAct),
}

impl MobileNet {
    fn new(variant: MobileVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let variant = variant.with(config);
        let active = variant.activation;
        let scaled = variant.channel_multiplier >= variant.scale_stem_from;
        let mut channels = if scaled { variant.round(variant.stem) } else { variant.stem };
        let spec = ConvSpec { stride: 2, padding: variant.padding, ..ConvSpec::new(config.in_chans, channels, 3) };
        let stem = ConvNormAct::named(("conv_stem", "bn1"), spec, variant.norm(), active, b)?;

        let stages = decode(variant.stages, variant.depth_multiplier, variant.fix_first_last)?;
        let total: usize = stages.iter().map(Vec::len).sum();
        let mut blocks = Vec::new();
        for (s, stage) in stages.into_iter().enumerate() {
            for (i, args) in stage.into_iter().enumerate() {
                let outputs = variant.round(args.channels);
                let drop_path = config.drop_path_rate * blocks.len() as f32 / total as f32;
                let b = b.pp("blocks").pp(s).pp(i);
                blocks.push(Block::new(args, (channels, outputs), &variant, drop_path, &b)?);
                channels = outputs;
            }
        }

        let features = variant.num_features(config);
        let mut inputs = features;
        let (mut head, mut hidden) = (None, None);
        match variant.head {
            Head::Pool(_) => {}
            Head::Conv(_) | Head::ConvAtLeast(_) | Head::ConvOf(_) => {
                let spec = ConvSpec::new(channels, features, 1);
                head = Some(ConvNormAct::named(("conv_head", "bn2"), spec, variant.norm(), active, b)?);
            }
            Head::AfterPool { hidden: width, norm, .. } => {
                let spec = ConvSpec { bias: !norm, ..ConvSpec::new(channels, width, 1) };
                let names = ("conv_head", "norm_head");
                hidden = Some(match norm {
                    true => Hidden::Norm(ConvNormAct::named(names, spec, variant.norm(), active, b)?),
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
            classifier: ClassifierHead::new(
                Linear::new(inputs, config.num_classes, true, Init::Uniform(bound), &b.pp("classifier"))?,
                config.drop_rate,
            )?,
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
        self.classifier.classify(&x, mode)
    }
}
