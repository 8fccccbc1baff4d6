//! DenseNet: each layer sees the outputs of all layers before it in its block.
//!
//! Huang et al. 2016, <https://arxiv.org/abs/1608.06993>: DenseNet-BC, a growth of 32 channels a layer,
//! 1×1 bottlenecks of four times that, transitions that halve channels and size.
//!
//! Reference: timm's `densenet*`. Weight names are its own: `features.conv0`, `features.norm0`,
//! `features.denseblock1.denselayer1.norm1`, `.conv1`, `.norm2`, `.conv2`, …,
//! `features.transition1.norm`, `.conv`, …, `features.norm5`, `classifier`. Initial values too: Kaiming
//! normal by fan-in, PyTorch's default for the classifier's weight, its bias zero.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, Dropout, Linear};
use tallow_nn::op::Activation::Relu;
use tallow_nn::op::{PoolConfig, avg_pool2d, global_avg_pool, max_pool2d};
use tallow_nn::{Builder, Fan, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// What tells one DenseNet from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Layers in each of the four blocks.
    blocks: [usize; 4],
}

/// Channels that each layer adds.
const GROWTH: usize = 32;

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        let [a, b, c, d] = self.blocks;
        [a, b, c].into_iter().fold(2 * GROWTH, |channels, layers| (channels + layers * GROWTH) / 2) + d * GROWTH
    }
}

/// Preprocessing is that of timm's default weights, `ra_in1k` and `tv_in1k`.
pub(crate) const PRESETS: &[Preset] = &[
    preset("densenet121", [6, 12, 24, 16]),
    preset("densenet169", [6, 12, 32, 32]),
    preset("densenet201", [6, 12, 48, 32]),
];

const fn preset(name: &'static str, blocks: [usize; 4]) -> Preset {
    Preset {
        keys: &[Key::DropRate],
        // The stem divides by 4, three transitions by 2 each.
        min_input_size: 29,
        interpolation: "bicubic",
        first_conv: "features.conv0",
        classifier: "classifier",
        ..Preset::imagenet(name, "cnn/densenet", Arch::DenseNet(Layout { blocks }))
    }
}

pub(crate) struct DenseNet {
    conv0: Conv2d,
    norm0: BatchNorm2d,
    /// Each block, and the transition behind it but for the last.
    blocks: Vec<(Vec<DenseLayer>, Option<Transition>)>,
    norm5: BatchNorm2d,
    dropout: Dropout,
    classifier: Linear,
}

impl DenseNet {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let features = b.pp("features");
        let mut channels = 2 * GROWTH;
        let conv0 = conv(config.in_chans, channels, 7, 2, &features.pp("conv0"))?;
        let norm0 = norm(channels, &features.pp("norm0"))?;
        let mut blocks = Vec::new();
        for (i, count) in layout.blocks.into_iter().enumerate() {
            let block = features.pp(format!("denseblock{}", i + 1));
            let layer = |j| DenseLayer::new(channels + j * GROWTH, &block.pp(format!("denselayer{}", j + 1)));
            let layers = (0..count).map(layer).collect::<Result<Vec<_>>>()?;
            channels += count * GROWTH;
            let transition = if i + 1 < layout.blocks.len() {
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
            dropout: Dropout::new(config.drop_rate)?,
            classifier: Linear::new(channels, config.num_classes, true, init, &b.pp("classifier"))?,
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
        let x = global_avg_pool(features)?;
        self.classifier.forward(&self.dropout.forward(&x, mode)?)
    }
}

/// Norm and activation before each convolution; from all channels so far to the new ones.
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

/// Half the channels, half the size.
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
