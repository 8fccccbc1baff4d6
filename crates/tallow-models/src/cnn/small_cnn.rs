//! A network the size of LeNet, for tutorials and tests: three convolutions and a classifier.
//!
//! The 3×3 convolutions have `width`, 2·`width` and 4·`width` channels (`width` is 16 by default), each with BatchNorm
//! and ReLU. 2×2 max-pooling follows the first two; global average pooling follows the last.
//!
//! Reference: the same network in PyTorch (`fixtures/scripts/models.py`). Weight names: `conv1`, `bn1`, `conv2`,
//! `bn2`, `conv3`, `bn3`, `fc`. `drop_rate` is the dropout before `fc`.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d};
use tallow_nn::op::Activation::Relu;
use tallow_nn::{Builder, Mode, Result};

use super::{conv, halve, linear};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::average_map;
use crate::layers::head::ClassifierHead;
use crate::model::Model;
use crate::preset::Preset;

const KEYS: &[Key] = &[Key::DropRate, Key::Width];

/// Mean and standard deviation of Fashion-MNIST.
const PRESET: Preset = Preset {
    keys: KEYS,
    input_size: (28, 28),
    min_input_size: 4,
    in_chans: 1,
    num_classes: 10,
    mean: &[0.2860],
    std: &[0.3530],
    crop_pct: 1.0,
    ..Preset::imagenet("small_cnn", "cnn/small_cnn")
};

const DEFAULT_WIDTH: usize = 16;

/// The number of channels after the first convolution.
fn width(config: &ModelConfig) -> usize {
    config.width.unwrap_or(DEFAULT_WIDTH)
}

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(SmallCnn::new(config, b)),
    num_features: |(), config| 4 * width(config),
};

struct SmallCnn {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    classifier: ClassifierHead,
}

impl SmallCnn {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let width = width(config);
        let norm = |channels, name: &str| BatchNorm2d::new(channels, Default::default(), &b.pp(name));
        Ok(SmallCnn {
            conv1: conv(config.in_chans, width, 3, 1, &b.pp("conv1"))?,
            bn1: norm(width, "bn1")?,
            conv2: conv(width, 2 * width, 3, 1, &b.pp("conv2"))?,
            bn2: norm(2 * width, "bn2")?,
            conv3: conv(2 * width, 4 * width, 3, 1, &b.pp("conv3"))?,
            bn3: norm(4 * width, "bn3")?,
            classifier: ClassifierHead::new(linear(4 * width, config.num_classes, &b.pp("fc"))?, config.drop_rate)?,
        })
    }
}

impl Model for SmallCnn {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.bn1.forward_conv(&self.conv1, images, Relu, mode)?;
        let x = self.bn2.forward_conv(&self.conv2, &halve(&x)?, Relu, mode)?;
        self.bn3.forward_conv(&self.conv3, &halve(&x)?, Relu, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}
