//! ResNet: stages of residual blocks.
//!
//! He et al. 2015, <https://arxiv.org/abs/1512.03385>. The stride of a bottleneck is on its 3×3 convolution (variant
//! 1.5), as in torchvision and timm. Networks of the same blocks:
//!
//! - `resnet*d`, He et al. 2018, <https://arxiv.org/abs/1812.01187>: the stem is three 3×3 convolutions, and a
//!   shortcut averages 2×2 pixels instead of dropping three of four.
//! - `resnext50_32x4d`, Xie et al. 2016, <https://arxiv.org/abs/1611.05431>: the 3×3 convolutions have 32 groups.
//! - `wide_resnet50_2`, Zagoruyko & Komodakis 2016, <https://arxiv.org/abs/1605.07146>: the 3×3 convolutions have
//!   twice the channels. `wide_resnet.rs` has the networks of the same paper for small images.
//! - `seresnet50`, Hu et al. 2017, <https://arxiv.org/abs/1709.01507>: each block ends in squeeze-excite.
//!
//! Reference: timm's `resnet*`. Weight names are timm's: `conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.bn1`, …,
//! `layer1.0.se.fc1`, `layer2.0.downsample.0` (convolution) and `.1` (norm), `fc`. With a deep stem they are
//! `conv1.0`, `conv1.1`, `conv1.3`, `conv1.4`, `conv1.6`, and `downsample.1` and `.2`. Initial values are timm's:
//! Kaiming normal by fan-out, zero for the last norm of each block, PyTorch's default for `fc`; biases of
//! squeeze-excite are zero. Drop path grows linearly from block to block. `drop_block_rate` applies DropBlock in the
//! last two stages, as in timm.
//!
//! Deviation from timm: `stem = "cifar"` gives a 3×3 convolution of stride 1 without pooling (section 4.2 of the
//! paper). The weight names stay the same. A deep stem has stride 1 then.

mod block;
mod variant;

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, DropBlock2d, checkpoint};
use tallow_nn::op::Activation::Relu;
use tallow_nn::op::{PoolConfig, max_pool2d};
use tallow_nn::{Builder, Mode, Result};

use self::block::{Block, BlockSpec, norm};
use self::variant::{ResNetVariant, VARIANTS};
use super::{conv, linear};
use crate::config::{ModelConfig, Stem};
use crate::family::{FamilyTable, boxed};
use crate::layers::head::ClassifierHead;
use crate::layers::{average_map, drop_path_rate};
use crate::model::Model;

pub(crate) static FAMILY: FamilyTable<ResNetVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(ResNet::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct ResNet {
    conv1: StemConv,
    bn1: BatchNorm2d,
    /// 3×3 max-pooling of stride 2; a CIFAR stem has none.
    max_pool: Option<PoolConfig>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    /// Whether the backward pass recomputes the activations inside blocks.
    checkpoint: bool,
    classifier: ClassifierHead,
}

impl ResNet {
    fn new(variant: ResNetVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let ResNetVariant { block, blocks, .. } = variant;
        let total: usize = blocks.iter().sum();
        let stage = |index: usize| -> Result<Vec<Block>> {
            let before: usize = blocks[..index].iter().sum();
            (0..blocks[index])
                .map(|i| {
                    let channels = 64 << index;
                    let first = i == 0;
                    let spec = BlockSpec {
                        variant,
                        inputs: match (index, first) {
                            (0, true) => 64,
                            (_, true) => channels / 2 * block.expansion(),
                            _ => channels * block.expansion(),
                        },
                        channels,
                        stride: if first && index > 0 { 2 } else { 1 },
                        drop_path: drop_path_rate(config.drop_path_rate, before + i, total),
                        drop_block: drop_block(config.drop_block_rate, index)?,
                        zero_init_last: config.zero_init_last.unwrap_or(true),
                    };
                    Block::new(spec, &b.pp(format!("layer{}", index + 1)).pp(i))
                })
                .collect()
        };
        let (kernel, stride, max_pool) = match config.stem.unwrap_or(Stem::Imagenet) {
            Stem::Imagenet => (7, 2, Some(PoolConfig::square(3, 2, 1))),
            Stem::Cifar => (3, 1, None),
        };
        Ok(ResNet {
            conv1: if variant.deep {
                StemConv::Deep(Box::new(DeepStem::new(config.in_chans, stride, &b.pp("conv1"))?))
            } else {
                StemConv::Plain(conv(config.in_chans, 64, kernel, stride, &b.pp("conv1"))?)
            },
            bn1: norm(64, 1.0, &b.pp("bn1"))?,
            max_pool,
            layer1: stage(0)?,
            layer2: stage(1)?,
            layer3: stage(2)?,
            layer4: stage(3)?,
            checkpoint: config.checkpoint_activations,
            classifier: ClassifierHead::new(
                linear(variant.num_features(), config.num_classes, &b.pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

/// DropBlock of a stage, as in timm: larger and rarer blocks in the third stage, smaller ones in the last.
fn drop_block(rate: f32, stage: usize) -> Result<Option<DropBlock2d>> {
    Ok(match stage {
        2 if rate > 0.0 => Some(DropBlock2d::new(rate, 5)?.with_gamma_scale(0.25)),
        3 if rate > 0.0 => Some(DropBlock2d::new(rate, 3)?),
        _ => None,
    })
}

impl Model for ResNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.bn1.forward_act(&self.conv1.forward(images, mode)?, Relu, mode)?;
        if let Some(pool) = self.max_pool {
            x = max_pool2d(&x, pool)?;
        }
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            x = if self.checkpoint { checkpoint(block, &x, mode, Block::forward)? } else { block.forward(&x, mode)? };
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

/// The convolutions before the first norm.
enum StemConv {
    Plain(Conv2d),
    Deep(Box<DeepStem>),
}

impl StemConv {
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match self {
            StemConv::Plain(conv) => conv.forward(x),
            StemConv::Deep(stem) => stem.forward(x, mode),
        }
    }
}

/// Three 3×3 convolutions with norm and ReLU between them.
struct DeepStem {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
}

impl DeepStem {
    fn new(in_chans: usize, stride: usize, b: &Builder) -> Result<Self> {
        Ok(DeepStem {
            conv1: conv(in_chans, 32, 3, stride, &b.pp(0))?,
            bn1: norm(32, 1.0, &b.pp(1))?,
            conv2: conv(32, 32, 3, 1, &b.pp(3))?,
            bn2: norm(32, 1.0, &b.pp(4))?,
            conv3: conv(32, 64, 3, 1, &b.pp(6))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.bn1.forward_conv(&self.conv1, x, Relu, mode)?;
        let x = self.bn2.forward_conv(&self.conv2, &x, Relu, mode)?;
        self.conv3.forward(&x)
    }
}
