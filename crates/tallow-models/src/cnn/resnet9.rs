//! ResNet-9: eight convolutions and a linear layer, for images of some 32 pixels.
//!
//! After the DAWNBench entries of David Page (2018,
//! <https://github.com/davidcpage/cifar10-fast>), at half their width by default, with global
//! max-pooling before an unscaled classifier.
//!
//! Weight names are those of the same network written as PyTorch's `nn.Sequential`:
//! `0.0` (convolution), `0.1` (norm); `1`, `3` and `4` alike, with 2×2 max-pooling behind them;
//! `2.f.0.0`, `2.f.0.1`, `2.f.1.0`, `2.f.1.1` (residual) and `5` alike; `8` (classifier).
//! Initial values are PyTorch's defaults.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, Linear};
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::{add_activate, global_max_pool, reshape};
use tallow_nn::{Builder, Init, Mode, Result};

use super::{halve, linear};
use crate::config::{Key, ModelConfig};
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// Preprocessing is Fashion-MNIST's.
pub(crate) const PRESETS: &[Preset] = &[Preset {
    keys: &[Key::Width],
    input_size: (28, 28),
    min_input_size: 8,
    in_chans: 1,
    num_classes: 10,
    mean: &[0.2860],
    std: &[0.3530],
    crop_pct: 1.0,
    global_pool: "max",
    first_conv: "0.0",
    classifier: "8",
    ..Preset::imagenet("resnet9", "cnn/resnet9", Arch::ResNet9)
}];

const DEFAULT_WIDTH: usize = 32;

/// Channels after the first convolution.
fn width(config: &ModelConfig) -> usize {
    config.width.unwrap_or(DEFAULT_WIDTH)
}

/// Channels that the classifier sees.
pub(crate) fn num_features(config: &ModelConfig) -> usize {
    8 * width(config)
}

pub(crate) struct ResNet9 {
    trunk: Trunk,
    layer3: ConvNormRelu,
    residual2: Residual,
    classifier: Linear,
}

impl ResNet9 {
    pub(crate) fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let width = width(config);
        Ok(ResNet9 {
            trunk: Trunk::new(config.in_chans, width, b)?,
            layer3: ConvNormRelu::new(4 * width, 8 * width, &b.pp(4))?,
            residual2: Residual::new(8 * width, &b.pp(5))?,
            classifier: linear(8 * width, config.num_classes, &b.pp(8))?,
        })
    }
}

impl Model for ResNet9 {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.trunk.forward(images, mode)?;
        let x = halve(&self.layer3.forward(&x, mode)?)?;
        self.residual2.forward(&x, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let pooled = global_max_pool(features)?;
        let (n, c) = pooled.dims2()?;
        reshape(&pooled, (n, c, 1, 1))
    }

    fn forward_head(&self, features: &Tensor, _mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(&global_max_pool(features)?)
    }
}

/// The first five convolutions: `[n, in_chans, h, w]` → `[n, 4 · width, h / 4, w / 4]`.
pub(crate) struct Trunk {
    prep: ConvNormRelu,
    layer1: ConvNormRelu,
    residual1: Residual,
    layer2: ConvNormRelu,
}

impl Trunk {
    pub(crate) fn new(in_chans: usize, width: usize, b: &Builder) -> Result<Self> {
        Ok(Trunk {
            prep: ConvNormRelu::new(in_chans, width, &b.pp(0))?,
            layer1: ConvNormRelu::new(width, 2 * width, &b.pp(1))?,
            residual1: Residual::new(2 * width, &b.pp(2))?,
            layer2: ConvNormRelu::new(2 * width, 4 * width, &b.pp(3))?,
        })
    }

    pub(crate) fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.prep.forward(images, mode)?;
        let x = halve(&self.layer1.forward(&x, mode)?)?;
        let x = self.residual1.forward(&x, mode)?;
        halve(&self.layer2.forward(&x, mode)?)
    }
}

struct ConvNormRelu {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNormRelu {
    fn new(inputs: usize, outputs: usize, b: &Builder) -> Result<Self> {
        let init = Init::KaimingUniform(5f32.sqrt());
        let options = Conv2dOptions { padding: 1, init, ..Default::default() };
        Ok(ConvNormRelu {
            conv: Conv2d::new(inputs, outputs, 3, options, &b.pp(0))?,
            norm: BatchNorm2d::new(outputs, Default::default(), &b.pp(1))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.norm.forward_conv(&self.conv, x, Relu, mode)
    }
}

/// `x + f(x)`; the sum is not activated again.
struct Residual {
    first: ConvNormRelu,
    second: ConvNormRelu,
}

impl Residual {
    fn new(channels: usize, b: &Builder) -> Result<Self> {
        let b = b.pp("f");
        Ok(Residual {
            first: ConvNormRelu::new(channels, channels, &b.pp(0))?,
            second: ConvNormRelu::new(channels, channels, &b.pp(1))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.second.forward(&self.first.forward(x, mode)?, mode)?;
        add_activate(&y, x, Identity)
    }
}
