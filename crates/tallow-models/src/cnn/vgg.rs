//! VGG: stages of 3×3 convolutions, and a classifier of three fully connected layers.
//!
//! Simonyan & Zisserman 2014, <https://arxiv.org/abs/1409.1556>, configurations A, B, D and E. `_bn` has a BatchNorm
//! after each convolution.
//!
//! Reference: timm's `vgg*`. Weight names are timm's: `features.0`, …, counted over convolutions, norms, activations
//! and poolings; `pre_logits.fc1` (7×7) and `pre_logits.fc2`, the paper's first two fully connected layers as
//! convolutions; `head.fc`. Feature maps smaller than 7×7 are resized to 7×7 by adaptive average pooling. Initial
//! values are timm's: Kaiming normal by fan-out, normal of 0.01 for `head.fc`. `drop_rate` is the dropout between the
//! fully connected layers (0.5 in the paper).
//!
//! Deviation from timm: `width`, the channels of the first convolution, scales the whole network (4096 = 64 · 64).

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, Dropout, Linear};
use tallow_nn::op::Activation::Relu;
use tallow_nn::op::{activate, global_avg_pool};
use tallow_nn::{Builder, Init, Mode, Result};

use super::halve;
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::adaptive_pool::adaptive_avg_pool2d;
use crate::model::Model;
use crate::preset::Preset;

/// A variant of VGG.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VggVariant {
    /// Convolutions in each of the five stages.
    convs: [usize; 5],
    /// Whether a BatchNorm follows each convolution.
    norm: bool,
}

const A: [usize; 5] = [1, 1, 2, 2, 2];
const B: [usize; 5] = [2, 2, 2, 2, 2];
const D: [usize; 5] = [2, 2, 3, 3, 3];
const E: [usize; 5] = [2, 2, 4, 4, 4];

const KEYS: &[Key] = &[Key::DropRate, Key::Width];

const VARIANTS: &[(Preset, VggVariant)] = &[
    (preset("vgg11"), VggVariant { convs: A, norm: false }),
    (preset("vgg11_bn"), VggVariant { convs: A, norm: true }),
    (preset("vgg13"), VggVariant { convs: B, norm: false }),
    (preset("vgg13_bn"), VggVariant { convs: B, norm: true }),
    (preset("vgg16"), VggVariant { convs: D, norm: false }),
    (preset("vgg16_bn"), VggVariant { convs: D, norm: true }),
    (preset("vgg19"), VggVariant { convs: E, norm: false }),
    (preset("vgg19_bn"), VggVariant { convs: E, norm: true }),
];

const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 32,
        first_conv: "features.0",
        classifier: "head.fc",
        ..Preset::imagenet(name, "cnn/vgg")
    }
}

/// The side of the first fully connected layer's kernel.
const SIDE: usize = 7;

/// The number of channels after the first convolution.
fn width(config: &ModelConfig) -> usize {
    config.width.unwrap_or(64)
}

pub(crate) static FAMILY: FamilyTable<VggVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(Vgg::new(variant, config, b)),
    num_features: |_, config| 8 * width(config),
};

struct Vgg {
    /// 2×2 max-pooling follows each stage.
    stages: Vec<Vec<Layer>>,
    fc1: Conv2d,
    fc2: Conv2d,
    dropout: Dropout,
    fc: Linear,
}

impl Vgg {
    fn new(variant: VggVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let width = width(config);
        let features = b.pp("features");
        let (mut stages, mut inputs, mut index) = (Vec::new(), config.in_chans, 0);
        for (stage, count) in variant.convs.into_iter().enumerate() {
            let channels = width << stage.min(3);
            let mut layers = Vec::new();
            for _ in 0..count {
                layers.push(Layer {
                    conv: conv(inputs, channels, 3, 1, &features.pp(index))?,
                    norm: if variant.norm {
                        Some(BatchNorm2d::new(channels, Default::default(), &features.pp(index + 1))?)
                    } else {
                        None
                    },
                });
                inputs = channels;
                index += if variant.norm { 3 } else { 2 };
            }
            index += 1;
            stages.push(layers);
        }
        let (hidden, head) = (64 * width, b.pp("pre_logits"));
        Ok(Vgg {
            stages,
            fc1: conv(inputs, hidden, SIDE, 0, &head.pp("fc1"))?,
            fc2: conv(hidden, hidden, 1, 0, &head.pp("fc2"))?,
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear::new(hidden, config.num_classes, true, Init::Normal(0.01), &b.pp("head").pp("fc"))?,
        })
    }
}

impl Model for Vgg {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = images.clone();
        for stage in &self.stages {
            for layer in stage {
                x = layer.forward(&x, mode)?;
            }
            x = halve(&x)?;
        }
        Ok(x)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = features.dims4()?;
        let x = adaptive_avg_pool2d(features, (h.max(SIDE), w.max(SIDE)))?;
        let x = self.dropout.forward(&activate(&self.fc1.forward(&x)?, Relu)?, mode)?;
        let x = global_avg_pool(&activate(&self.fc2.forward(&x)?, Relu)?)?;
        self.fc.forward(&self.dropout.forward(&x, mode)?)
    }
}

struct Layer {
    conv: Conv2d,
    norm: Option<BatchNorm2d>,
}

impl Layer {
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => norm.forward_conv(&self.conv, x, Relu, mode),
            None => activate(&self.conv.forward(x)?, Relu),
        }
    }
}

/// A convolution with a bias.
fn conv(inputs: usize, outputs: usize, kernel: usize, padding: usize, b: &Builder) -> Result<Conv2d> {
    Conv2d::new(inputs, outputs, kernel, Conv2dOptions { padding, bias: true, ..Default::default() }, b)
}
