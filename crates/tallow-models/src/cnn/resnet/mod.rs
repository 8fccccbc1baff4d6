//! ResNet: blocks that add what they compute to what they were given.
//!
//! He et al. 2015, <https://arxiv.org/abs/1512.03385>; the bottleneck's stride lies on its 3×3
//! convolution (variant 1.5), as in torchvision and timm. Its descendants by the same blocks:
//!
//! - `resnet*d`, He et al. 2018, <https://arxiv.org/abs/1812.01187>: a stem of three 3×3
//!   convolutions, and shortcuts that average pixels before they drop them.
//! - `resnext50_32x4d`, Xie et al. 2016, <https://arxiv.org/abs/1611.05431>: 3×3 convolutions in 32 groups.
//! - `wide_resnet50_2`, Zagoruyko & Komodakis 2016, <https://arxiv.org/abs/1605.07146>: twice the
//!   channels in the 3×3 convolutions. (`wide_resnet.rs` holds the same paper's networks for small images.)
//! - `seresnet50`, Hu et al. 2017, <https://arxiv.org/abs/1709.01507>: squeeze-excite behind each block.
//!
//! Reference: timm's. Weight names are its own: `conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.bn1`, …,
//! `layer1.0.se.fc1`, `layer2.0.downsample.0` (convolution) and `.1` (norm), `fc`; with a deep stem
//! `conv1.0`, `conv1.1`, `conv1.3`, `conv1.4`, `conv1.6`, and `downsample.1` and `.2`.
//! Initial values too: Kaiming normal by fan-out, the last norm of each block zero, PyTorch's
//! default for `fc`; squeeze-excite's biases start at zero. Drop path grows linearly from block to block,
//! `drop_block_rate` is timm's: DropBlock in the last two stages.
//!
//! Deviation: `stem = "cifar"` (3×3 convolution of stride 1, no pooling; section 4.2 of the paper),
//! which timm has no argument for; the names stay the same. A deep stem loses its stride alike.

mod block;

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, DropBlock2d, Dropout, Linear, checkpoint};
use tallow_nn::op::Activation::Relu;
use tallow_nn::op::{PoolConfig, global_avg_pool, max_pool2d};
use tallow_nn::{Builder, Mode, Result};

use self::block::{Block, BlockSpec, norm};
use super::{conv, linear};
use crate::config::{Key, ModelConfig, Stem};
use crate::layers::{average_map, drop_path_rate};
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// What tells one ResNet from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    block: BlockKind,
    /// Blocks in each of the four stages.
    blocks: [usize; 4],
    /// Variant D: three convolutions in the stem, averaging shortcuts.
    deep: bool,
    /// Groups of a bottleneck's 3×3 convolution.
    groups: usize,
    /// Channels of each group in the first stage.
    base_width: usize,
    squeeze_excite: bool,
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
    const fn basic(blocks: [usize; 4]) -> Layout {
        Layout { block: BlockKind::Basic, ..Layout::bottleneck(blocks) }
    }

    const fn bottleneck(blocks: [usize; 4]) -> Layout {
        let block = BlockKind::Bottleneck;
        Layout { block, blocks, deep: false, groups: 1, base_width: 64, squeeze_excite: false }
    }

    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        512 * self.block.expansion()
    }
}

const R18: Layout = Layout::basic([2, 2, 2, 2]);
const R34: Layout = Layout::basic([3, 4, 6, 3]);
const R50: Layout = Layout::bottleneck([3, 4, 6, 3]);
const R101: Layout = Layout::bottleneck([3, 4, 23, 3]);
const R152: Layout = Layout::bottleneck([3, 8, 36, 3]);

pub(crate) const PRESETS: &[Preset] = &[
    preset("resnet18", R18),
    preset("resnet34", R34),
    preset("resnet50", R50),
    preset("resnet101", R101),
    preset("resnet152", R152),
    deep("resnet18d", R18),
    deep("resnet34d", R34),
    deep("resnet50d", R50),
    larger(deep("resnet101d", R101)),
    larger(deep("resnet152d", R152)),
    preset("resnext50_32x4d", Layout { groups: 32, base_width: 4, ..R50 }),
    Preset { crop_pct: 0.875, ..preset("wide_resnet50_2", Layout { base_width: 128, ..R50 }) },
    preset("seresnet50", Layout { squeeze_excite: true, ..R50 }),
];

/// Preprocessing is that of timm's default weights: `a1_in1k` and the like.
const fn preset(name: &'static str, layout: Layout) -> Preset {
    Preset {
        keys: &[
            Key::DropRate,
            Key::DropPathRate,
            Key::Stem,
            Key::ZeroInitLast,
            Key::DropBlockRate,
            Key::CheckpointActivations,
        ],
        crop_pct: 0.95,
        interpolation: "bicubic",
        ..Preset::imagenet(name, "cnn/resnet", Arch::ResNet(layout))
    }
}

const fn deep(name: &'static str, layout: Layout) -> Preset {
    Preset { crop_pct: 0.875, first_conv: "conv1.0", ..preset(name, Layout { deep: true, ..layout }) }
}

const fn larger(preset: Preset) -> Preset {
    Preset { input_size: (256, 256), crop_pct: 0.95, ..preset }
}

pub(crate) struct ResNet {
    conv1: StemConv,
    bn1: BatchNorm2d,
    /// 3×3 of stride 2; none behind a CIFAR stem.
    max_pool: Option<PoolConfig>,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    /// Whether a block's activations are computed again instead of kept.
    checkpoint: bool,
    dropout: Dropout,
    fc: Linear,
}

impl ResNet {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { block, blocks, .. } = layout;
        let total: usize = blocks.iter().sum();
        let stage = |index: usize| -> Result<Vec<Block>> {
            let before: usize = blocks[..index].iter().sum();
            (0..blocks[index])
                .map(|i| {
                    let channels = 64 << index;
                    let first = i == 0;
                    let spec = BlockSpec {
                        layout,
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
            conv1: if layout.deep {
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
            dropout: Dropout::new(config.drop_rate)?,
            fc: linear(layout.num_features(), config.num_classes, &b.pp("fc"))?,
        })
    }
}

/// timm's: larger and fewer blocks in the third stage, smaller ones in the last.
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
        let x = global_avg_pool(features)?;
        self.fc.forward(&self.dropout.forward(&x, mode)?)
    }
}

/// What stands before the first norm.
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

/// Three 3×3 convolutions, norm and ReLU between them.
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
