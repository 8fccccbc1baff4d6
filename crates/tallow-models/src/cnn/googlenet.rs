//! GoogLeNet: inception modules of parallel convolutions of several sizes.
//!
//! Szegedy et al. 2014, <https://arxiv.org/abs/1409.4842>, with BatchNorm and without the auxiliary classifiers.
//!
//! Reference: torchvision's `googlenet` with `aux_logits=False`; timm has none. Weight names are torchvision's:
//! `conv1.conv`, `conv1.bn`, …, `inception3a.branch1.conv`, `inception3a.branch2.0.conv`, …, `fc`. As in torchvision,
//! the third branch's "5×5" convolution is 3×3. Initial values are torchvision's: normal of 0.01 truncated at 2,
//! PyTorch's default for the bias of `fc`. `drop_rate` is the dropout before `fc` (0.2 in torchvision).

use candle_core::Tensor;
use tallow_nn::layers::Linear;
use tallow_nn::op::{PoolConfig, max_pool2d};
use tallow_nn::{Builder, Init, Mode, Result};

use super::halve_up;
use super::inception::{Shape, chain, conv};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::model::Model;
use crate::preset::Preset;

/// The number of channels of the features.
const NUM_FEATURES: usize = 1024;

const KEYS: &[Key] = &[Key::DropRate];

const PRESET: Preset = Preset {
    keys: KEYS,
    min_input_size: 15,
    // torchvision's weights take ImageNet's values, which the model transforms to these (`transform_input`).
    mean: &[0.5; 3],
    std: &[0.5; 3],
    first_conv: "conv1.conv",
    ..Preset::imagenet("googlenet", "cnn/googlenet")
};

const INIT: Init = Init::TruncatedNormal { std: 0.01, limit: 2.0 };

/// The inception modules in groups, with a pooling between groups. Each has a name, its inputs, and the outputs of: the
/// 1×1 convolution; the 3×3 reduction; the 3×3 convolution; the 5×5 reduction; the 5×5 convolution; the convolution
/// after the pooling.
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

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(GoogLeNet::new(config, b)),
    num_features: |(), _| NUM_FEATURES,
};

struct GoogLeNet {
    conv1: ConvNormAct,
    conv2: ConvNormAct,
    conv3: ConvNormAct,
    groups: Vec<Vec<Inception>>,
    classifier: ClassifierHead,
}

impl GoogLeNet {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let wide = Shape { stride: 2, ..Shape::same(7, 7, INIT) };
        let module = |&(name, inputs, widths): &Widths| Inception::new(inputs, widths, &b.pp(name));
        Ok(GoogLeNet {
            conv1: conv(config.in_chans, 64, wide, &b.pp("conv1"))?,
            conv2: conv(64, 64, Shape::same(1, 1, INIT), &b.pp("conv2"))?,
            conv3: conv(64, 192, Shape::same(3, 3, INIT), &b.pp("conv3"))?,
            groups: MODULES.iter().map(|group| group.iter().map(module).collect()).collect::<Result<_>>()?,
            classifier: ClassifierHead::new(
                Linear {
                    weight: b.pp("fc").param("weight", &[config.num_classes, NUM_FEATURES], INIT)?,
                    bias: Some(b.pp("fc").param("bias", &[config.num_classes], Init::Uniform(1.0 / 32.0))?),
                },
                config.drop_rate,
            )?,
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
        self.classifier.forward(features, mode)
    }
}

struct Inception {
    branch1: ConvNormAct,
    branch2: Vec<ConvNormAct>,
    branch3: Vec<ConvNormAct>,
    /// After 3×3 max-pooling.
    branch4: ConvNormAct,
}

impl Inception {
    fn new(inputs: usize, [one, reduce3, three, reduce5, five, pool]: [usize; 6], b: &Builder) -> Result<Self> {
        let square = |inputs, outputs, side, b: &Builder| conv(inputs, outputs, Shape::same(side, side, INIT), b);
        let pair = |reduced, outputs, b: Builder| -> Result<Vec<ConvNormAct>> {
            Ok(vec![square(inputs, reduced, 1, &b.pp(0))?, square(reduced, outputs, 3, &b.pp(1))?])
        };
        Ok(Inception {
            branch1: square(inputs, one, 1, &b.pp("branch1"))?,
            branch2: pair(reduce3, three, b.pp("branch2"))?,
            branch3: pair(reduce5, five, b.pp("branch3"))?,
            branch4: square(inputs, pool, 1, &b.pp("branch4").pp(1))?,
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
