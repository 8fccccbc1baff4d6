//! Wide ResNet: few, wide pre-activation blocks, for images of about 32 pixels.
//!
//! Zagoruyko & Komodakis 2016, <https://arxiv.org/abs/1605.07146>. WRN-d-k has d = 6n + 4 layers: n blocks in each of
//! three stages of 16k, 32k and 64k channels. `wide_resnet28_10` is WRN-28-10; the keys `depth` and `width` give the
//! others.
//!
//! timm has no such model. Reference: the same network in PyTorch (`fixtures/scripts/models.py`). Weight names follow
//! timm's ResNets: `conv1`; `layer1.0.bn1`, `layer1.0.conv1`, `layer1.0.bn2`, `layer1.0.conv2`, `layer1.0.downsample`
//! (the 1×1 convolution where the channels change); `norm`; `fc`. Initial values: Kaiming normal by fan-out as in the
//! authors' code, PyTorch's default for `fc`.
//!
//! `drop_rate` is the dropout between the two convolutions of a block (0.3 on CIFAR in the paper).

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Dropout};
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::add_activate;
use tallow_nn::{Builder, Mode, Result};

use super::{conv, linear};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::average_map;
use crate::layers::head::ClassifierHead;
use crate::model::Model;
use crate::preset::Preset;

/// A variant of Wide ResNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WideResNetVariant {
    /// The number of convolutions and linear layers without shortcuts: 6n + 4.
    depth: usize,
    /// The widening factor k.
    width: usize,
}

impl WideResNetVariant {
    /// This variant with the overrides of the config.
    ///
    /// # Errors
    /// A depth that is not 6n + 4.
    pub(crate) fn with(self, preset: &Preset, config: &ModelConfig) -> crate::Result<WideResNetVariant> {
        let depth = config.depth.unwrap_or(self.depth);
        if depth < 10 || depth % 6 != 4 {
            return Err(preset.bad_value("depth", "6n + 4: 10, 16, 22, 28, 34, 40, …", depth));
        }
        Ok(WideResNetVariant { depth, width: config.width.unwrap_or(self.width) })
    }

    /// The number of channels of the features.
    pub(crate) fn num_features(self, config: &ModelConfig) -> usize {
        64 * config.width.unwrap_or(self.width)
    }
}

const KEYS: &[Key] = &[Key::DropRate, Key::Width, Key::Depth];

const VARIANTS: &[(Preset, WideResNetVariant)] = &[
    (preset("wide_resnet16_4"), WideResNetVariant { depth: 16, width: 4 }),
    (preset("wide_resnet28_10"), WideResNetVariant { depth: 28, width: 10 }),
    (preset("wide_resnet40_4"), WideResNetVariant { depth: 40, width: 4 }),
];

/// Mean and standard deviation of CIFAR-10.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        input_size: (32, 32),
        num_classes: 10,
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.2470, 0.2435, 0.2616],
        crop_pct: 1.0,
        ..Preset::imagenet(name, "cnn/wide_resnet")
    }
}

pub(crate) static FAMILY: FamilyTable<WideResNetVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, preset, config, b| boxed(WideResNet::new(variant.with(preset, config)?, config, b)),
    num_features: |variant, config| variant.num_features(config),
};

struct WideResNet {
    conv1: Conv2d,
    layer1: Vec<PreActBlock>,
    layer2: Vec<PreActBlock>,
    layer3: Vec<PreActBlock>,
    norm: BatchNorm2d,
    classifier: ClassifierHead,
}

impl WideResNet {
    fn new(variant: WideResNetVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let WideResNetVariant { depth, width } = variant;
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
            classifier: ClassifierHead::new(linear(64 * width, config.num_classes, &b.pp("fc"))?, 0.0)?,
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

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

/// A block with norm and activation before each convolution (He et al. 2016, <https://arxiv.org/abs/1603.05027>).
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
        // A shortcut that changes the shape starts from the activated input; the others are the identity.
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(&activated)?,
            None => x.clone(),
        };
        add_activate(&y, &shortcut, Identity)
    }
}
