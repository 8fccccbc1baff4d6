//! ResNet: blocks that add what they compute to what they were given.
//!
//! He et al. 2015, <https://arxiv.org/abs/1512.03385>; the bottleneck's stride lies on its 3×3
//! convolution (variant 1.5), as in torchvision and timm.
//!
//! Reference: timm's `resnet18/34/50`. Weight names are its own: `conv1`, `bn1`,
//! `layer1.0.conv1`, `layer1.0.bn1`, …, `layer2.0.downsample.0` (convolution) and `.1` (norm), `fc`.
//! Initial values too: Kaiming normal by fan-out, the last norm of each block zero, PyTorch's
//! default for `fc`. Drop path grows linearly from block to block.
//!
//! Deviation: `stem = "cifar"` (3×3 convolution of stride 1, no pooling; section 4.2 of the paper),
//! which timm has no argument for; the names stay the same.

use candle_core::Tensor;
use tallow_nn::kernels::activation::Activation::{Identity, Relu};
use tallow_nn::kernels::pool::{PoolConfig, global_avg_pool, max_pool2d};
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, Conv2d, DropPath, Dropout, Linear};
use tallow_nn::{Builder, Mode, Result};

use super::{conv, linear};
use crate::config::{Key, ModelConfig, Stem};
use crate::model::Model;
use crate::registry::{Arch, Preset};
use tallow_nn::kernels::elementwise::add_activate;

/// What tells one ResNet from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    block: BlockKind,
    /// Blocks in each of the four stages.
    blocks: [usize; 4],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1 down, 3×3, 1×1 up to four times the channels.
    Bottleneck,
}

impl BlockKind {
    fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }
}

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        512 * self.block.expansion()
    }
}

pub(crate) const PRESETS: &[Preset] = &[
    preset("resnet18", BlockKind::Basic, [2, 2, 2, 2]),
    preset("resnet34", BlockKind::Basic, [3, 4, 6, 3]),
    preset("resnet50", BlockKind::Bottleneck, [3, 4, 6, 3]),
];

/// Preprocessing is that of timm's default weights, `a1_in1k`.
const fn preset(name: &'static str, block: BlockKind, blocks: [usize; 4]) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate, Key::Stem, Key::ZeroInitLast],
        crop_pct: 0.95,
        interpolation: "bicubic",
        ..Preset::imagenet(name, "cnn/resnet", Arch::ResNet(Layout { block, blocks }))
    }
}

pub(crate) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    /// 3×3 of stride 2; none behind a CIFAR stem.
    max_pool: Option<PoolConfig>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    dropout: Dropout,
    fc: Linear,
}

impl ResNet {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { block, blocks } = layout;
        let total: usize = blocks.iter().sum();
        let stage = |index: usize| -> Result<Vec<Block>> {
            let before: usize = blocks[..index].iter().sum();
            (0..blocks[index])
                .map(|i| {
                    let channels = 64 << index;
                    let first = i == 0;
                    let spec = BlockSpec {
                        inputs: match (index, first) {
                            (0, true) => 64,
                            (_, true) => channels / 2 * block.expansion(),
                            _ => channels * block.expansion(),
                        },
                        channels,
                        stride: if first && index > 0 { 2 } else { 1 },
                        drop_path: config.drop_path_rate * (before + i) as f32 / (total - 1) as f32,
                        zero_init_last: config.zero_init_last.unwrap_or(true),
                    };
                    Block::new(block, spec, &b.pp(format!("layer{}", index + 1)).pp(i))
                })
                .collect()
        };
        let (conv1, max_pool) = match config.stem.unwrap_or(Stem::Imagenet) {
            Stem::Imagenet => {
                let pool = PoolConfig::square(3, 2, 1);
                (conv(config.in_chans, 64, 7, 2, &b.pp("conv1"))?, Some(pool))
            }
            Stem::Cifar => (conv(config.in_chans, 64, 3, 1, &b.pp("conv1"))?, None),
        };
        Ok(ResNet {
            conv1,
            bn1: norm(64, 1.0, &b.pp("bn1"))?,
            max_pool,
            layer1: stage(0)?,
            layer2: stage(1)?,
            layer3: stage(2)?,
            layer4: stage(3)?,
            dropout: Dropout::new(config.drop_rate)?,
            fc: linear(layout.num_features(), config.num_classes, &b.pp("fc"))?,
        })
    }
}

impl Model for ResNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.bn1.forward_conv(&self.conv1, images, Relu, mode)?;
        if let Some(pool) = self.max_pool {
            x = max_pool2d(&x, pool)?;
        }
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            x = block.forward(&x, mode)?;
        }
        Ok(x)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = global_avg_pool(features)?;
        self.fc.forward(&self.dropout.forward(&x, mode)?)
    }
}

/// What tells one block from another.
struct BlockSpec {
    inputs: usize,
    /// Of the 3×3 convolution.
    channels: usize,
    stride: usize,
    drop_path: f32,
    zero_init_last: bool,
}

impl BlockSpec {
    /// The initial scale of the block's last norm.
    fn last_scale(&self) -> f32 {
        if self.zero_init_last { 0.0 } else { 1.0 }
    }
}

enum Block {
    Basic(BasicBlock),
    Bottleneck(Bottleneck),
}

impl Block {
    fn new(kind: BlockKind, spec: BlockSpec, b: &Builder) -> Result<Self> {
        Ok(match kind {
            BlockKind::Basic => Block::Basic(BasicBlock::new(spec, b)?),
            BlockKind::Bottleneck => Block::Bottleneck(Bottleneck::new(spec, b)?),
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match self {
            Block::Basic(block) => block.forward(x, mode),
            Block::Bottleneck(block) => block.forward(x, mode),
        }
    }
}

struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
    drop_path: DropPath,
}

impl BasicBlock {
    fn new(spec: BlockSpec, b: &Builder) -> Result<Self> {
        let channels = spec.channels;
        Ok(BasicBlock {
            conv1: conv(spec.inputs, channels, 3, spec.stride, &b.pp("conv1"))?,
            bn1: norm(channels, 1.0, &b.pp("bn1"))?,
            conv2: conv(channels, channels, 3, 1, &b.pp("conv2"))?,
            bn2: norm(channels, spec.last_scale(), &b.pp("bn2"))?,
            downsample: Downsample::new(&spec, channels, b)?,
            drop_path: DropPath::new(spec.drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.bn1.forward_conv(&self.conv1, x, Relu, mode)?;
        let y = self.bn2.forward_conv(&self.conv2, &y, Identity, mode)?;
        let y = self.drop_path.forward(&y, mode)?;
        add_activate(&y, &shortcut(&self.downsample, x, mode)?, Relu)
    }
}

struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    downsample: Option<Downsample>,
    drop_path: DropPath,
}

impl Bottleneck {
    fn new(spec: BlockSpec, b: &Builder) -> Result<Self> {
        let channels = spec.channels;
        let outputs = channels * BlockKind::Bottleneck.expansion();
        Ok(Bottleneck {
            conv1: conv(spec.inputs, channels, 1, 1, &b.pp("conv1"))?,
            bn1: norm(channels, 1.0, &b.pp("bn1"))?,
            conv2: conv(channels, channels, 3, spec.stride, &b.pp("conv2"))?,
            bn2: norm(channels, 1.0, &b.pp("bn2"))?,
            conv3: conv(channels, outputs, 1, 1, &b.pp("conv3"))?,
            bn3: norm(outputs, spec.last_scale(), &b.pp("bn3"))?,
            downsample: Downsample::new(&spec, outputs, b)?,
            drop_path: DropPath::new(spec.drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.bn1.forward_conv(&self.conv1, x, Relu, mode)?;
        let y = self.bn2.forward_conv(&self.conv2, &y, Relu, mode)?;
        let y = self.bn3.forward_conv(&self.conv3, &y, Identity, mode)?;
        let y = self.drop_path.forward(&y, mode)?;
        add_activate(&y, &shortcut(&self.downsample, x, mode)?, Relu)
    }
}

/// The shortcut where size or channels change: a 1×1 convolution and a norm.
struct Downsample {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl Downsample {
    /// `None` where the block's output has the shape of its input.
    fn new(spec: &BlockSpec, outputs: usize, b: &Builder) -> Result<Option<Self>> {
        if spec.stride == 1 && spec.inputs == outputs {
            return Ok(None);
        }
        let b = b.pp("downsample");
        Ok(Some(Downsample {
            conv: conv(spec.inputs, outputs, 1, spec.stride, &b.pp(0))?,
            bn: norm(outputs, 1.0, &b.pp(1))?,
        }))
    }
}

fn shortcut(downsample: &Option<Downsample>, x: &Tensor, mode: &Mode) -> Result<Tensor> {
    match downsample {
        Some(Downsample { conv, bn }) => bn.forward_conv(conv, x, Identity, mode),
        None => Ok(x.clone()),
    }
}

fn norm(channels: usize, scale: f32, b: &Builder) -> Result<BatchNorm2d> {
    BatchNorm2d::new(channels, BatchNormOptions { weight_init: scale, ..Default::default() }, b)
}
