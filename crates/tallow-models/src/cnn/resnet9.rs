//! ResNet-9: eight convolutions and a linear layer, for images of about 32 pixels.
//!
//! The network follows the DAWNBench entries of David Page (2018, <https://github.com/davidcpage/cifar10-fast>). It
//! has half their width by default, and global max-pooling before an unscaled classifier.
//!
//! Reference: the same network as PyTorch's `nn.Sequential` (`fixtures/scripts/models.py`). Weight names: `0.0`
//! (convolution) and `0.1` (norm); `1`, `3` and `4` likewise, each followed by 2×2 max-pooling; `2.f.0.0`, `2.f.0.1`,
//! `2.f.1.0`, `2.f.1.1` (a residual branch) and `5` likewise; `8` (classifier). Initial values are PyTorch's defaults.

use candle_core::Tensor;
use tallow_nn::layers::Linear;
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::{add_activate, global_max_pool, reshape};
use tallow_nn::{Builder, Mode, Result};

use super::{halve, linear};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::PYTORCH_DEFAULT;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::padded_conv::ConvSpec;
use crate::model::Model;
use crate::preset::Preset;

const KEYS: &[Key] = &[Key::Width];

/// Mean and standard deviation of Fashion-MNIST.
const PRESET: Preset = Preset {
    keys: KEYS,
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
    ..Preset::imagenet("resnet9", "cnn/resnet9")
};

const DEFAULT_WIDTH: usize = 32;

/// The number of channels after the first convolution.
fn width(config: &ModelConfig) -> usize {
    config.width.unwrap_or(DEFAULT_WIDTH)
}

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(ResNet9::new(config, b)),
    num_features: |(), config| 8 * width(config),
};

struct ResNet9 {
    trunk: Trunk,
    layer3: ConvNormAct,
    residual2: Residual,
    classifier: Linear,
}

impl ResNet9 {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let width = width(config);
        Ok(ResNet9 {
            trunk: Trunk::new(config.in_chans, width, b)?,
            layer3: conv_norm_relu(4 * width, 8 * width, &b.pp(4))?,
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
    prep: ConvNormAct,
    layer1: ConvNormAct,
    residual1: Residual,
    layer2: ConvNormAct,
}

impl Trunk {
    pub(crate) fn new(in_chans: usize, width: usize, b: &Builder) -> Result<Self> {
        Ok(Trunk {
            prep: conv_norm_relu(in_chans, width, &b.pp(0))?,
            layer1: conv_norm_relu(width, 2 * width, &b.pp(1))?,
            residual1: Residual::new(2 * width, &b.pp(2))?,
            layer2: conv_norm_relu(2 * width, 4 * width, &b.pp(3))?,
        })
    }

    pub(crate) fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.prep.forward(images, mode)?;
        let x = halve(&self.layer1.forward(&x, mode)?)?;
        let x = self.residual1.forward(&x, mode)?;
        halve(&self.layer2.forward(&x, mode)?)
    }
}

/// 3×3; the norm is the next module of PyTorch's `nn.Sequential`.
fn conv_norm_relu(inputs: usize, outputs: usize, b: &Builder) -> Result<ConvNormAct> {
    let spec = ConvSpec { init: Some(PYTORCH_DEFAULT), ..ConvSpec::new(inputs, outputs, 3) };
    ConvNormAct::named(("0", "1"), spec, Default::default(), Relu, b)
}

/// `x + f(x)`; the sum is not activated again.
struct Residual {
    first: ConvNormAct,
    second: ConvNormAct,
}

impl Residual {
    fn new(channels: usize, b: &Builder) -> Result<Self> {
        let b = b.pp("f");
        Ok(Residual {
            first: conv_norm_relu(channels, channels, &b.pp(0))?,
            second: conv_norm_relu(channels, channels, &b.pp(1))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.second.forward(&self.first.forward(x, mode)?, mode)?;
        add_activate(&y, x, Identity)
    }
}
