//! Pre-activation ResNet: BatchNorm and ReLU come before each convolution, and the sum is not activated.
//!
//! He et al. 2016, <https://arxiv.org/abs/1603.05027>. The networks here are for images of about 32 pixels: the stem
//! is a 3×3 convolution of stride 1, and four stages have 64 to 512 channels.
//!
//! timm has no such model for this size. Reference: the same network in PyTorch (`fixtures/scripts/models.py`). Weight
//! names follow timm's ResNets: `conv1`; `layer1.0.bn1`, `layer1.0.conv1`, `layer1.0.bn2`, `layer1.0.conv2`; in
//! bottlenecks also `layer1.0.bn3` and `layer1.0.conv3`; `layer1.0.downsample` (the 1×1 convolution where the shape
//! changes); `norm`; `fc`. Initial values: Kaiming normal by fan-out, PyTorch's default for `fc`.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, DropPath};
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::add_activate;
use tallow_nn::{Builder, Mode, Result};

use super::{conv, linear};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::head::ClassifierHead;
use crate::layers::{average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

/// A variant of the pre-activation ResNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PreactResNetVariant {
    /// Blocks in each of the four stages.
    blocks: [usize; 4],
    /// Three convolutions a block (1×1, 3×3, 1×1 up to four times the channels) instead of two 3×3.
    bottleneck: bool,
}

impl PreactResNetVariant {
    fn expansion(self) -> usize {
        if self.bottleneck { 4 } else { 1 }
    }

    /// The number of channels of the features.
    pub(crate) fn num_features(self) -> usize {
        512 * self.expansion()
    }
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, PreactResNetVariant)] = &[
    (preset("preact_resnet18"), PreactResNetVariant { blocks: [2, 2, 2, 2], bottleneck: false }),
    (preset("preact_resnet34"), PreactResNetVariant { blocks: [3, 4, 6, 3], bottleneck: false }),
    (preset("preact_resnet50"), PreactResNetVariant { blocks: [3, 4, 6, 3], bottleneck: true }),
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
        ..Preset::imagenet(name, "cnn/preact_resnet")
    }
}

pub(crate) static FAMILY: FamilyTable<PreactResNetVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(PreactResNet::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct PreactResNet {
    conv1: Conv2d,
    blocks: Vec<Block>,
    norm: BatchNorm2d,
    classifier: ClassifierHead,
}

impl PreactResNet {
    fn new(variant: PreactResNetVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let conv1 = conv(config.in_chans, 64, 3, 1, &b.pp("conv1"))?;
        let total = variant.blocks.iter().sum();
        let (mut blocks, mut inputs) = (Vec::new(), 64);
        for (stage, count) in variant.blocks.into_iter().enumerate() {
            for i in 0..count {
                let channels = 64 << stage;
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let drop_path = drop_path_rate(config.drop_path_rate, blocks.len(), total);
                let b = b.pp(format!("layer{}", stage + 1)).pp(i);
                blocks.push(Block::new(variant, inputs, channels, stride, drop_path, &b)?);
                inputs = channels * variant.expansion();
            }
        }
        Ok(PreactResNet {
            conv1,
            blocks,
            norm: BatchNorm2d::new(inputs, Default::default(), &b.pp("norm"))?,
            classifier: ClassifierHead::new(linear(inputs, config.num_classes, &b.pp("fc"))?, config.drop_rate)?,
        })
    }
}

impl Model for PreactResNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.conv1.forward(images)?;
        for block in &self.blocks {
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

struct Block {
    /// Each norm, with ReLU, before its convolution.
    layers: Vec<(BatchNorm2d, Conv2d)>,
    downsample: Option<Conv2d>,
    drop_path: DropPath,
}

impl Block {
    fn new(
        variant: PreactResNetVariant,
        inputs: usize,
        channels: usize,
        stride: usize,
        drop_path: f32,
        b: &Builder,
    ) -> Result<Self> {
        let outputs = channels * variant.expansion();
        // Of each convolution: inputs, outputs, kernel, stride.
        let convs = if variant.bottleneck {
            vec![(inputs, channels, 1, 1), (channels, channels, 3, stride), (channels, outputs, 1, 1)]
        } else {
            vec![(inputs, channels, 3, stride), (channels, outputs, 3, 1)]
        };
        let layer = |(i, (inputs, outputs, kernel, stride))| {
            let norm = BatchNorm2d::new(inputs, Default::default(), &b.pp(format!("bn{}", i + 1)))?;
            Ok((norm, conv(inputs, outputs, kernel, stride, &b.pp(format!("conv{}", i + 1)))?))
        };
        let layers = convs.into_iter().enumerate().map(layer).collect::<Result<_>>()?;
        let downsample = || conv(inputs, outputs, 1, stride, &b.pp("downsample"));
        Ok(Block {
            layers,
            downsample: (inputs != outputs || stride != 1).then(downsample).transpose()?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (mut y, mut shortcut) = (x.clone(), x.clone());
        for (i, (norm, conv)) in self.layers.iter().enumerate() {
            let activated = norm.forward_act(&y, Relu, mode)?;
            // A shortcut that changes the shape starts from the activated input; the others are the identity.
            if let (0, Some(downsample)) = (i, &self.downsample) {
                shortcut = downsample.forward(&activated)?;
            }
            y = conv.forward(&activated)?;
        }
        add_activate(&self.drop_path.forward(&y, mode)?, &shortcut, Identity)
    }
}
