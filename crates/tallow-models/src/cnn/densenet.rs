//! DenseNet: each layer of a block receives the outputs of all layers before it.
//!
//! Huang et al. 2016, <https://arxiv.org/abs/1608.06993>: DenseNet-BC with 32 new channels a layer, 1×1 bottlenecks of
//! four times that, and transitions that halve channels and size.
//!
//! Reference: timm's `densenet*`. Weight names are timm's: `features.conv0`, `features.norm0`,
//! `features.denseblock1.denselayer1.norm1`, `.conv1`, `.norm2`, `.conv2`, …, `features.transition1.norm`, `.conv`, …,
//! `features.norm5`, `classifier`. Initial values are timm's: Kaiming normal by fan-in; for the classifier PyTorch's
//! default weight and a bias of zero.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, Linear};
use tallow_nn::op::Activation::Relu;
use tallow_nn::op::{PoolConfig, avg_pool2d, max_pool2d};
use tallow_nn::{Builder, Fan, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::layers::head::ClassifierHead;
use crate::model::Model;
use crate::preset::Preset;

/// A variant of DenseNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DenseNetVariant {
    /// Layers in each of the four blocks.
    blocks: [usize; 4],
}

/// The number of channels that each layer adds.
const GROWTH: usize = 32;

impl DenseNetVariant {
    /// The number of channels of the features.
    fn num_features(self) -> usize {
        let [a, b, c, d] = self.blocks;
        [a, b, c].into_iter().fold(2 * GROWTH, |channels, layers| (channels + layers * GROWTH) / 2) + d * GROWTH
    }
}

const KEYS: &[Key] = &[Key::DropRate];

const VARIANTS: &[(Preset, DenseNetVariant)] = &[
    (preset("densenet121"), DenseNetVariant { blocks: [6, 12, 24, 16] }),
    (preset("densenet169"), DenseNetVariant { blocks: [6, 12, 32, 32] }),
    (preset("densenet201"), DenseNetVariant { blocks: [6, 12, 48, 32] }),
];

/// The preprocessing of timm's default weights, `ra_in1k` and `tv_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        // The stem divides the size by 4, each of the three transitions by 2.
        min_input_size: 29,
        interpolation: "bicubic",
        first_conv: "features.conv0",
        classifier: "classifier",
        ..Preset::imagenet(name, "cnn/densenet")
    }
}

pub(crate) static FAMILY: FamilyTable<DenseNetVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(DenseNet::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct DenseNet {
    conv0: Conv2d,
    norm0: BatchNorm2d,
    /// Each block with the transition after it; the last block has none.
    blocks: Vec<(Vec<DenseLayer>, Option<Transition>)>,
    norm5: BatchNorm2d,
    classifier: ClassifierHead,
}

impl DenseNet {
    fn new(variant: DenseNetVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let features = b.pp("features");
        let mut channels = 2 * GROWTH;
        let conv0 = conv(config.in_chans, channels, 7, 2, &features.pp("conv0"))?;
        let norm0 = norm(channels, &features.pp("norm0"))?;
        let mut blocks = Vec::new();
        for (i, count) in variant.blocks.into_iter().enumerate() {
            let block = features.pp(format!("denseblock{}", i + 1));
            let layer = |j| DenseLayer::new(channels + j * GROWTH, &block.pp(format!("denselayer{}", j + 1)));
            let layers = (0..count).map(layer).collect::<Result<Vec<_>>>()?;
            channels += count * GROWTH;
            let transition = if i + 1 < variant.blocks.len() {
                let transition = Transition::new(channels, &features.pp(format!("transition{}", i + 1)))?;
                channels /= 2;
                Some(transition)
            } else {
                None
            };
            blocks.push((layers, transition));
        }
        let init = Init::Uniform(1.0 / (channels as f32).sqrt());
        Ok(DenseNet {
            conv0,
            norm0,
            blocks,
            norm5: norm(channels, &features.pp("norm5"))?,
            classifier: ClassifierHead::new(
                Linear::new(channels, config.num_classes, true, init, &b.pp("classifier"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for DenseNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.norm0.forward_conv(&self.conv0, images, Relu, mode)?;
        let mut x = max_pool2d(&x, PoolConfig::square(3, 2, 1))?;
        for (layers, transition) in &self.blocks {
            for layer in layers {
                let new = layer.forward(&x, mode)?;
                x = concat_channels(&[x, new])?;
            }
            if let Some(transition) = transition {
                x = transition.forward(&x, mode)?;
            }
        }
        self.norm5.forward_act(&x, Relu, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

/// Two pre-activation convolutions that compute the new channels from all channels so far.
struct DenseLayer {
    norm1: BatchNorm2d,
    conv1: Conv2d,
    norm2: BatchNorm2d,
    conv2: Conv2d,
}

impl DenseLayer {
    fn new(inputs: usize, b: &Builder) -> Result<Self> {
        Ok(DenseLayer {
            norm1: norm(inputs, &b.pp("norm1"))?,
            conv1: conv(inputs, 4 * GROWTH, 1, 1, &b.pp("conv1"))?,
            norm2: norm(4 * GROWTH, &b.pp("norm2"))?,
            conv2: conv(4 * GROWTH, GROWTH, 3, 1, &b.pp("conv2"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.conv1.forward(&self.norm1.forward_act(x, Relu, mode)?)?;
        self.conv2.forward(&self.norm2.forward_act(&y, Relu, mode)?)
    }
}

/// Halves the channels and the size.
struct Transition {
    norm: BatchNorm2d,
    conv: Conv2d,
}

impl Transition {
    fn new(channels: usize, b: &Builder) -> Result<Self> {
        Ok(Transition {
            norm: norm(channels, &b.pp("norm"))?,
            conv: conv(channels, channels / 2, 1, 1, &b.pp("conv"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.conv.forward(&self.norm.forward_act(x, Relu, mode)?)?;
        avg_pool2d(&x, PoolConfig::square(2, 2, 0), true)
    }
}

fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, b: &Builder) -> Result<Conv2d> {
    let options =
        Conv2dOptions { stride, padding: kernel / 2, init: Init::KaimingNormal(Fan::In), ..Default::default() };
    Conv2d::new(inputs, outputs, kernel, options, b)
}

fn norm(channels: usize, b: &Builder) -> Result<BatchNorm2d> {
    BatchNorm2d::new(channels, Default::default(), b)
}
