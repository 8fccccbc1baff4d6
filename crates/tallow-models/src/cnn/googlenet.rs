//! GoogLeNet: inception modules, convolutions of several sizes side by side.
//!
//! Szegedy et al. 2014, <https://arxiv.org/abs/1409.4842>, with BatchNorm, without the auxiliary classifiers.
//!
//! Reference: torchvision's `googlenet` with `aux_logits=False` (timm has none). Weight names are its
//! own: `conv1.conv`, `conv1.bn`, …, `inception3a.branch1.conv`, `inception3a.branch2.0.conv`, …, `fc`. As
//! there, the third branch's "5×5" convolution is 3×3. Initial values too: normal of 0.01 truncated at 2,
//! PyTorch's default for `fc`'s bias. `drop_rate` is the dropout before `fc` (torchvision's 0.2).

use candle_core::Tensor;
use tallow_nn::layers::{Dropout, Linear};
use tallow_nn::op::{PoolConfig, global_avg_pool, max_pool2d};
use tallow_nn::{Builder, Init, Mode, Result};

use super::conv_norm::{ConvNorm, Shape, chain};
use super::halve_up;
use crate::config::{Key, ModelConfig};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// Channels that the classifier sees.
pub(crate) const NUM_FEATURES: usize = 1024;

pub(crate) const PRESETS: &[Preset] = &[Preset {
    keys: &[Key::DropRate],
    min_input_size: 15,
    // torchvision's weights expect ImageNet's, and the model changes them to these (`transform_input`).
    mean: &[0.5; 3],
    std: &[0.5; 3],
    first_conv: "conv1.conv",
    ..Preset::imagenet("googlenet", "cnn/googlenet", Arch::GoogLeNet)
}];

const INIT: Init = Init::TruncatedNormal { std: 0.01, limit: 2.0 };

/// Of each inception module: name, inputs, and outputs of 1×1; of 3×3's reduction, 3×3; of 5×5's
/// reduction, 5×5; behind the pooling. Groups are as the poolings divide them.
type Widths = (&'static str, usize, [usize; 6]);
const MODULES: [&[Widths]; 3] = [
    &[("inception3a", 192, [64, 96, 128, 16, 32, 32]), ("inception3b", 256, [128, 128, 192, 32, 96, 64])],
    &[
        ("inception4a", 480, [192, 96, 208, 16, 48, 64]),
        ("inception4b", 512, [160, 112, 224, 24, 64, 64]),
        ("inception4c", 512, [128, 128, 256, 24, 64, 64]),
        ("inception4d", 512, [112, 144, 288, 32, 64, 64]),
        ("inception4e", 528, [256, 160, 320, 32, 128, 128]),
    ],
    &[("inception5a", 832, [256, 160, 320, 32, 128, 128]), ("inception5b", 832, [384, 192, 384, 48, 128, 128])],
];

pub(crate) struct GoogLeNet {
    conv1: ConvNorm,
    conv2: ConvNorm,
    conv3: ConvNorm,
    groups: Vec<Vec<Inception>>,
    dropout: Dropout,
    fc: Linear,
}

impl GoogLeNet {
    pub(crate) fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let wide = Shape { stride: 2, ..Shape::same(7, 7, INIT) };
        let module = |&(name, inputs, widths): &Widths| Inception::new(inputs, widths, &b.pp(name));
        Ok(GoogLeNet {
            conv1: ConvNorm::new(config.in_chans, 64, wide, &b.pp("conv1"))?,
            conv2: ConvNorm::new(64, 64, Shape::same(1, 1, INIT), &b.pp("conv2"))?,
            conv3: ConvNorm::new(64, 192, Shape::same(3, 3, INIT), &b.pp("conv3"))?,
            groups: MODULES.iter().map(|group| group.iter().map(module).collect()).collect::<Result<_>>()?,
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear {
                weight: b.pp("fc").param("weight", &[config.num_classes, NUM_FEATURES], INIT)?,
                bias: Some(b.pp("fc").param("bias", &[config.num_classes], Init::Uniform(1.0 / 32.0))?),
            },
        })
    }
}

impl Model for GoogLeNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = halve_up(&self.conv1.forward(images, mode)?, 3)?;
        let x = self.conv3.forward(&self.conv2.forward(&x, mode)?, mode)?;
        let mut x = halve_up(&x, 3)?;
        for (i, group) in self.groups.iter().enumerate() {
            if i > 0 {
                x = halve_up(&x, if i == 1 { 3 } else { 2 })?;
            }
            for module in group {
                x = module.forward(&x, mode)?;
            }
        }
        Ok(x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = global_avg_pool(features)?;
        self.fc.forward(&self.dropout.forward(&x, mode)?)
    }
}

struct Inception {
    branch1: ConvNorm,
    branch2: Vec<ConvNorm>,
    branch3: Vec<ConvNorm>,
    /// Behind a 3×3 max-pooling.
    branch4: ConvNorm,
}

impl Inception {
    fn new(inputs: usize, [one, reduce3, three, reduce5, five, pool]: [usize; 6], b: &Builder) -> Result<Self> {
        let conv =
            |inputs, outputs, side, b: &Builder| ConvNorm::new(inputs, outputs, Shape::same(side, side, INIT), b);
        let pair = |reduced, outputs, b: Builder| -> Result<Vec<ConvNorm>> {
            Ok(vec![conv(inputs, reduced, 1, &b.pp(0))?, conv(reduced, outputs, 3, &b.pp(1))?])
        };
        Ok(Inception {
            branch1: conv(inputs, one, 1, &b.pp("branch1"))?,
            branch2: pair(reduce3, three, b.pp("branch2"))?,
            branch3: pair(reduce5, five, b.pp("branch3"))?,
            branch4: conv(inputs, pool, 1, &b.pp("branch4").pp(1))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let pooled = max_pool2d(x, PoolConfig::square(3, 1, 1))?;
        concat_channels(&[
            self.branch1.forward(x, mode)?,
            chain(&self.branch2, x, mode)?,
            chain(&self.branch3, x, mode)?,
            self.branch4.forward(&pooled, mode)?,
        ])
    }
}
