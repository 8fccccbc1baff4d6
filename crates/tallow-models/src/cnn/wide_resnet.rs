//! Wide ResNet: fewer, wider pre-activation blocks, for images of some 32 pixels.
//!
//! Zagoruyko & Komodakis 2016, <https://arxiv.org/abs/1605.07146>. WRN-d-k has d = 6n + 4
//! layers, n blocks in each of three stages of 16k, 32k and 64k channels. `wide_resnet28_10` is
//! WRN-28-10; the keys `depth` and `width` give any other.
//!
//! timm has no such model, so the weight names are ours, in the manner of its ResNets: `conv1`;
//! `layer1.0.bn1`, `layer1.0.conv1`, `layer1.0.bn2`, `layer1.0.conv2`, and `layer1.0.downsample`
//! (the 1×1 convolution where the channels change); `norm`; `fc`.
//!
//! `drop_rate` is the dropout between a block's two convolutions (the paper's 0.3 on CIFAR).
//! Initial values: Kaiming normal by fan-out as in the authors' code, PyTorch's default for `fc`.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Dropout, Linear};
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::{add_activate, global_avg_pool};
use tallow_nn::{Builder, Mode, Result};

use super::{conv, linear};
use crate::config::{Key, ModelConfig};
use crate::layers::average_map;
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// What tells one Wide ResNet from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Convolutions and the classifier, shortcuts left out: 6n + 4.
    depth: usize,
    /// The widening factor k.
    width: usize,
}

impl Layout {
    /// This layout with what the config says otherwise.
    ///
    /// # Errors
    /// A depth that is not 6n + 4; a width of 0.
    pub(crate) fn with(self, preset: &Preset, config: &ModelConfig) -> crate::Result<Layout> {
        let depth = config.depth.unwrap_or(self.depth);
        if depth < 10 || depth % 6 != 4 {
            return Err(preset.bad_value("depth", "6n + 4: 10, 16, 22, 28, 34, 40, …", depth));
        }
        Ok(Layout { depth, width: config.width.unwrap_or(self.width) })
    }

    /// Channels that the classifier sees.
    pub(crate) fn num_features(self, config: &ModelConfig) -> usize {
        64 * config.width.unwrap_or(self.width)
    }
}

pub(crate) const PRESETS: &[Preset] =
    &[preset("wide_resnet16_4", 16, 4), preset("wide_resnet28_10", 28, 10), preset("wide_resnet40_4", 40, 4)];

/// Preprocessing is CIFAR-10's.
const fn preset(name: &'static str, depth: usize, width: usize) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::Width, Key::Depth],
        input_size: (32, 32),
        num_classes: 10,
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.2470, 0.2435, 0.2616],
        crop_pct: 1.0,
        ..Preset::imagenet(name, "cnn/wide_resnet", Arch::WideResNet(Layout { depth, width }))
    }
}

pub(crate) struct WideResNet {
    conv1: Conv2d,
    layer1: Vec<PreActBlock>,
    layer2: Vec<PreActBlock>,
    layer3: Vec<PreActBlock>,
    norm: BatchNorm2d,
    fc: Linear,
}

impl WideResNet {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { depth, width } = layout;
        let stage = |name: &str, inputs: usize, channels: usize, stride: usize| -> Result<Vec<PreActBlock>> {
            (0..(depth - 4) / 6)
                .map(|i| {
                    let (inputs, stride) = if i == 0 { (inputs, stride) } else { (channels, 1) };
                    PreActBlock::new(inputs, channels, stride, config.drop_rate, &b.pp(name).pp(i))
                })
                .collect()
        };
        Ok(WideResNet {
            conv1: conv(config.in_chans, 16, 3, 1, &b.pp("conv1"))?,
            layer1: stage("layer1", 16, 16 * width, 1)?,
            layer2: stage("layer2", 16 * width, 32 * width, 2)?,
            layer3: stage("layer3", 32 * width, 64 * width, 2)?,
            norm: BatchNorm2d::new(64 * width, Default::default(), &b.pp("norm"))?,
            fc: linear(64 * width, config.num_classes, &b.pp("fc"))?,
        })
    }
}

impl Model for WideResNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.conv1.forward(images)?;
        for block in [&self.layer1, &self.layer2, &self.layer3].into_iter().flatten() {
            x = block.forward(&x, mode)?;
        }
        self.norm.forward_act(&x, Relu, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, _mode: &Mode) -> Result<Tensor> {
        self.fc.forward(&global_avg_pool(features)?)
    }
}

/// Norm and activation come before each convolution (He et al. 2016, <https://arxiv.org/abs/1603.05027>).
struct PreActBlock {
    bn1: BatchNorm2d,
    conv1: Conv2d,
    bn2: BatchNorm2d,
    dropout: Dropout,
    conv2: Conv2d,
    downsample: Option<Conv2d>,
}

impl PreActBlock {
    fn new(inputs: usize, channels: usize, stride: usize, drop_rate: f32, b: &Builder) -> Result<Self> {
        let downsample = || conv(inputs, channels, 1, stride, &b.pp("downsample"));
        Ok(PreActBlock {
            bn1: BatchNorm2d::new(inputs, Default::default(), &b.pp("bn1"))?,
            conv1: conv(inputs, channels, 3, stride, &b.pp("conv1"))?,
            bn2: BatchNorm2d::new(channels, Default::default(), &b.pp("bn2"))?,
            dropout: Dropout::new(drop_rate)?,
            conv2: conv(channels, channels, 3, 1, &b.pp("conv2"))?,
            downsample: (inputs != channels || stride != 1).then(downsample).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let activated = self.bn1.forward_act(x, Relu, mode)?;
        let y = self.bn2.forward_conv(&self.conv1, &activated, Relu, mode)?;
        let y = self.conv2.forward(&self.dropout.forward(&y, mode)?)?;
        // A shortcut that must change the shape starts from the activated input; others are the identity.
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(&activated)?,
            None => x.clone(),
        };
        add_activate(&y, &shortcut, Identity)
    }
}
