//! The residual blocks of a ResNet and their shortcuts.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, Conv2d, Conv2dOptions, DropBlock2d, DropPath};
use tallow_nn::op::Activation::{Identity, Relu, Sigmoid};
use tallow_nn::op::{PoolConfig, activate, add_activate, avg_pool2d};
use tallow_nn::{Builder, Mode, Result};

use super::variant::{BlockKind, ResNetVariant};
use crate::cnn::conv;
use crate::layers::squeeze_excite::SqueezeExcite;

/// The configuration of a block.
pub(super) struct BlockSpec {
    pub variant: ResNetVariant,
    pub inputs: usize,
    /// Channels of the stage: 64, 128, 256 or 512.
    pub channels: usize,
    pub stride: usize,
    pub drop_path: f32,
    /// DropBlock after the 3×3 convolution (in a basic block the first).
    pub drop_block: Option<DropBlock2d>,
    pub zero_init_last: bool,
}

impl BlockSpec {
    /// The initial scale of the block's last norm.
    fn last_scale(&self) -> f32 {
        if self.zero_init_last { 0.0 } else { 1.0 }
    }

    fn outputs(&self) -> usize {
        self.channels * self.variant.block.expansion()
    }
}

#[derive(Clone)]
pub(super) enum Block {
    Basic(Box<BasicBlock>),
    Bottleneck(Box<Bottleneck>),
}

impl Block {
    pub fn new(spec: BlockSpec, b: &Builder) -> Result<Self> {
        Ok(match spec.variant.block {
            BlockKind::Basic => Block::Basic(Box::new(BasicBlock::new(spec, b)?)),
            BlockKind::Bottleneck => Block::Bottleneck(Box::new(Bottleneck::new(spec, b)?)),
        })
    }

    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match self {
            Block::Basic(block) => block.forward(x, mode),
            Block::Bottleneck(block) => block.forward(x, mode),
        }
    }
}

#[derive(Clone)]
pub(super) struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
    drop_block: Option<DropBlock2d>,
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
            downsample: Downsample::new(&spec, b)?,
            drop_block: spec.drop_block,
            drop_path: DropPath::new(spec.drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = dropped(&self.bn1, &self.conv1, x, &self.drop_block, mode)?;
        let y = self.bn2.forward_conv(&self.conv2, &y, Identity, mode)?;
        let y = self.drop_path.forward(&y, mode)?;
        add_activate(&y, &shortcut(&self.downsample, x, mode)?, Relu)
    }
}

#[derive(Clone)]
pub(super) struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    se: Option<SqueezeExcite>,
    downsample: Option<Downsample>,
    drop_block: Option<DropBlock2d>,
    drop_path: DropPath,
}

impl Bottleneck {
    fn new(spec: BlockSpec, b: &Builder) -> Result<Self> {
        let ResNetVariant { groups, base_width, squeeze_excite, .. } = spec.variant;
        let (width, outputs) = (spec.channels * base_width / 64 * groups, spec.outputs());
        let grouped = Conv2dOptions { stride: spec.stride, padding: 1, groups, ..Default::default() };
        let se = || SqueezeExcite::new(outputs, outputs / 16, ("fc1", "fc2"), Relu, Sigmoid, &b.pp("se"));
        Ok(Bottleneck {
            conv1: conv(spec.inputs, width, 1, 1, &b.pp("conv1"))?,
            bn1: norm(width, 1.0, &b.pp("bn1"))?,
            conv2: Conv2d::new(width, width, 3, grouped, &b.pp("conv2"))?,
            bn2: norm(width, 1.0, &b.pp("bn2"))?,
            conv3: conv(width, outputs, 1, 1, &b.pp("conv3"))?,
            bn3: norm(outputs, spec.last_scale(), &b.pp("bn3"))?,
            se: squeeze_excite.then(se).transpose()?,
            downsample: Downsample::new(&spec, b)?,
            drop_block: spec.drop_block,
            drop_path: DropPath::new(spec.drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.bn1.forward_conv(&self.conv1, x, Relu, mode)?;
        let y = dropped(&self.bn2, &self.conv2, &y, &self.drop_block, mode)?;
        let mut y = self.bn3.forward_conv(&self.conv3, &y, Identity, mode)?;
        if let Some(se) = &self.se {
            y = se.forward(&y)?;
        }
        let y = self.drop_path.forward(&y, mode)?;
        add_activate(&y, &shortcut(&self.downsample, x, mode)?, Relu)
    }
}

/// The shortcut of a block that changes size or channels: a 1×1 convolution and a norm.
#[derive(Clone)]
struct Downsample {
    /// Whether 2×2 pixels are averaged instead of every second one taken; an odd last row or column is averaged alone.
    average: bool,
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl Downsample {
    /// `None` where the block's output has the shape of its input.
    fn new(spec: &BlockSpec, b: &Builder) -> Result<Option<Self>> {
        let (inputs, outputs) = (spec.inputs, spec.outputs());
        if spec.stride == 1 && inputs == outputs {
            return Ok(None);
        }
        let (b, average) = (b.pp("downsample"), spec.variant.deep);
        // Module 0 is the pooling, or an identity.
        let first = usize::from(average);
        Ok(Some(Downsample {
            average: average && spec.stride > 1,
            conv: conv(inputs, outputs, 1, if average { 1 } else { spec.stride }, &b.pp(first))?,
            bn: norm(outputs, 1.0, &b.pp(first + 1))?,
        }))
    }
}

/// Convolution, norm, DropBlock and ReLU.
fn dropped(
    norm: &BatchNorm2d,
    conv: &Conv2d,
    x: &Tensor,
    drop_block: &Option<DropBlock2d>,
    mode: &Mode,
) -> Result<Tensor> {
    match drop_block.as_ref().filter(|_| mode.is_train()) {
        Some(drop) => activate(&drop.forward(&norm.forward_conv(conv, x, Identity, mode)?, mode)?, Relu),
        None => norm.forward_conv(conv, x, Relu, mode),
    }
}

fn shortcut(downsample: &Option<Downsample>, x: &Tensor, mode: &Mode) -> Result<Tensor> {
    let Some(Downsample { average, conv, bn }) = downsample else {
        return Ok(x.clone());
    };
    let x = if *average { average_pairs(x)? } else { x.clone() };
    bn.forward_conv(conv, &x, Identity, mode)
}

fn average_pairs(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let pool = PoolConfig { kernel: (h.min(2), w.min(2)), ceil_mode: true, ..PoolConfig::square(2, 2, 0) };
    avg_pool2d(x, pool, false)
}

/// A BatchNorm whose weight starts at `scale`.
pub(super) fn norm(channels: usize, scale: f32, b: &Builder) -> Result<BatchNorm2d> {
    BatchNorm2d::new(channels, BatchNormOptions { weight_init: scale, ..Default::default() }, b)
}
