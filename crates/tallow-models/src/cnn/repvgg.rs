//! RepVGG: a VGG whose 3×3 convolutions are trained as three branches.
//!
//! Ding et al. 2021, <https://arxiv.org/abs/2101.03697>. Each block is the sum of a 3×3 convolution,
//! a 1×1 convolution and, where the shape stays, the input itself, each behind a norm of its own; all
//! three are linear, so that after training they could be folded into one 3×3 convolution.
//!
//! Reference: timm's `repvgg_a0/a1`, as they are trained. Weight names are its own:
//! `stem.conv_kxk.conv`, `stem.conv_kxk.bn`, `stem.conv_1x1.conv`, `stages.0.1.identity`,
//! `stages.0.1.conv_kxk.conv`, …, `head.fc`. Drop path is timm's, not the paper's: on the two
//! convolutions of a block that keeps the shape, linearly more from block to block.
//!
//! Deviations: norms start at 1, not around 0.1; folding the branches is not offered.

use candle_core::Tensor;
use tallow_nn::kernels::activation::Activation::{Identity, Relu};
use tallow_nn::kernels::elementwise::add_activate;
use tallow_nn::kernels::pool::global_avg_pool;
use tallow_nn::layers::{BatchNorm2d, DropPath, Dropout, Linear};
use tallow_nn::{Builder, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::layers::conv_bn_act::ConvBnAct;
use crate::layers::drop_path_rate;
use crate::layers::same_pad::ConvSpec;
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// What tells one RepVGG from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Channels of the four stages; the stem has the first.
    widths: [usize; 4],
}

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        self.widths[3]
    }
}

/// Blocks of the four stages.
const DEPTHS: [usize; 4] = [2, 4, 14, 1];

pub(crate) const PRESETS: &[Preset] =
    &[preset("repvgg_a0", [48, 96, 192, 1280]), preset("repvgg_a1", [64, 128, 256, 1280])];

const fn preset(name: &'static str, widths: [usize; 4]) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate],
        first_conv: "stem.conv_kxk.conv",
        classifier: "head.fc",
        ..Preset::imagenet(name, "cnn/repvgg", Arch::RepVgg(Layout { widths }))
    }
}

pub(crate) struct RepVgg {
    stem: Block,
    /// `stages.0`, `stages.1`, …, one after the other.
    blocks: Vec<Block>,
    dropout: Dropout,
    fc: Linear,
}

impl RepVgg {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let mut inputs = layout.widths[0];
        let stem = Block::new(config.in_chans, inputs, 2, 0.0, &b.pp("stem"))?;
        let mut blocks = Vec::new();
        for (stage, (width, depth)) in layout.widths.into_iter().zip(DEPTHS).enumerate() {
            let b = b.pp("stages").pp(stage);
            for i in 0..depth {
                let stride = if i == 0 { 2 } else { 1 };
                let drop_path = drop_path_rate(config.drop_path_rate, blocks.len(), DEPTHS.iter().sum());
                blocks.push(Block::new(inputs, width, stride, drop_path, &b.pp(i))?);
                inputs = width;
            }
        }
        let head = b.pp("head");
        Ok(RepVgg {
            stem,
            blocks,
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear::new(inputs, config.num_classes, true, Init::Normal(0.01), &head.pp("fc"))?,
        })
    }
}

impl Model for RepVgg {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        Ok(x)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = global_avg_pool(features)?;
        self.fc.forward(&self.dropout.forward(&x, mode)?)
    }
}

/// The sum of the branches, then ReLU.
struct Block {
    /// Where the block's output has the shape of its input.
    identity: Option<BatchNorm2d>,
    conv_kxk: ConvBnAct,
    conv_1x1: ConvBnAct,
    drop_path: DropPath,
}

impl Block {
    fn new(inputs: usize, outputs: usize, stride: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let conv = |kernel, name: &str| {
            let spec = ConvSpec { stride, ..ConvSpec::new(inputs, outputs, kernel) };
            ConvBnAct::new(spec, Default::default(), Identity, &b.pp(name))
        };
        let same = stride == 1 && inputs == outputs;
        let identity = same.then(|| BatchNorm2d::new(outputs, Default::default(), &b.pp("identity")));
        Ok(Block {
            identity: identity.transpose()?,
            conv_kxk: conv(3, "conv_kxk")?,
            conv_1x1: conv(1, "conv_1x1")?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (wide, narrow) = (self.conv_kxk.forward(x, mode)?, self.conv_1x1.forward(x, mode)?);
        match &self.identity {
            Some(norm) => {
                let y = self.drop_path.forward(&add_activate(&wide, &narrow, Identity)?, mode)?;
                add_activate(&y, &norm.forward(x, mode)?, Relu)
            }
            None => add_activate(&wide, &narrow, Relu),
        }
    }
}
