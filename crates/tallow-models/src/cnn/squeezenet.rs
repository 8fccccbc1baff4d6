//! SqueezeNet: fire modules, a fiftieth of AlexNet's parameters for the same accuracy.
//!
//! Iandola et al. 2016, <https://arxiv.org/abs/1602.07360>, version 1.1. A fire module reduces the channels by a 1×1
//! convolution and expands them by parallel 1×1 and 3×3 convolutions.
//!
//! Reference: torchvision's `squeezenet1_1`; timm has none. Weight names are torchvision's: `features.0`,
//! `features.3.squeeze`, `.expand1x1`, `.expand3x3`, …, `classifier.1`. Initial values are torchvision's: Kaiming
//! uniform by fan-in, normal of 0.01 for the classifier. `drop_rate` is the dropout before the classifier (0.5 in
//! torchvision). A ReLU precedes the final average, so logits are never negative, as in torchvision.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, Dropout};
use tallow_nn::op::Activation::Relu;
use tallow_nn::op::{activate, global_avg_pool};
use tallow_nn::{Builder, Init, Mode, Result};

use super::halve_up;
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::concat::concat_channels;
use crate::model::Model;
use crate::preset::Preset;

/// The number of channels of the features.
const NUM_FEATURES: usize = 512;

const KEYS: &[Key] = &[Key::DropRate];

const PRESET: Preset = Preset {
    keys: KEYS,
    min_input_size: 17,
    first_conv: "features.0",
    classifier: "classifier.1",
    ..Preset::imagenet("squeezenet1_1", "cnn/squeezenet")
};

/// The fire modules in groups, with max-pooling before each group: index in torchvision's sequence, inputs, squeezed
/// channels. A module has eight times as many outputs as squeezed channels.
const FIRES: [&[(usize, usize, usize)]; 3] = [
    &[(3, 64, 16), (4, 128, 16)],
    &[(6, 128, 32), (7, 256, 32)],
    &[(9, 256, 48), (10, 384, 48), (11, 384, 64), (12, 512, 64)],
];

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(SqueezeNet::new(config, b)),
    num_features: |(), _| NUM_FEATURES,
};

struct SqueezeNet {
    conv: Conv2d,
    groups: Vec<Vec<Fire>>,
    dropout: Dropout,
    classifier: Conv2d,
}

impl SqueezeNet {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let features = b.pp("features");
        let first = Conv2dOptions { stride: 2, ..conv_options(0) };
        let last = Conv2dOptions { init: Init::Normal(0.01), ..conv_options(0) };
        let fire = |&(index, inputs, squeezed): &_| Fire::new(inputs, squeezed, &features.pp(index));
        Ok(SqueezeNet {
            conv: Conv2d::new(config.in_chans, 64, 3, first, &features.pp(0))?,
            groups: FIRES.iter().map(|group| group.iter().map(fire).collect()).collect::<Result<_>>()?,
            dropout: Dropout::new(config.drop_rate)?,
            classifier: Conv2d::new(NUM_FEATURES, config.num_classes, 1, last, &b.pp("classifier").pp(1))?,
        })
    }
}

impl Model for SqueezeNet {
    fn forward_features(&self, images: &Tensor, _mode: &Mode) -> Result<Tensor> {
        let mut x = activate(&self.conv.forward(images)?, Relu)?;
        for group in &self.groups {
            x = halve_up(&x, 3)?;
            for fire in group {
                x = fire.forward(&x)?;
            }
        }
        Ok(x)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.classifier.forward(&self.dropout.forward(features, mode)?)?;
        global_avg_pool(&activate(&x, Relu)?)
    }
}

struct Fire {
    squeeze: Conv2d,
    expand1x1: Conv2d,
    expand3x3: Conv2d,
}

impl Fire {
    fn new(inputs: usize, squeezed: usize, b: &Builder) -> Result<Self> {
        let expanded = 4 * squeezed;
        Ok(Fire {
            squeeze: Conv2d::new(inputs, squeezed, 1, conv_options(0), &b.pp("squeeze"))?,
            expand1x1: Conv2d::new(squeezed, expanded, 1, conv_options(0), &b.pp("expand1x1"))?,
            expand3x3: Conv2d::new(squeezed, expanded, 3, conv_options(1), &b.pp("expand3x3"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = activate(&self.squeeze.forward(x)?, Relu)?;
        let expand = |conv: &Conv2d| activate(&conv.forward(&x)?, Relu);
        concat_channels(&[expand(&self.expand1x1)?, expand(&self.expand3x3)?])
    }
}

fn conv_options(padding: usize) -> Conv2dOptions {
    Conv2dOptions { padding, bias: true, init: Init::KaimingUniform(0.0), ..Default::default() }
}
