//! GhostNet: half of each layer's channels come from a cheap operation on the other half.
//!
//! Han et al. 2019, <https://arxiv.org/abs/1911.11907>. A ghost module computes half of its channels with a 1×1
//! convolution and the other half with a depthwise 3×3 convolution of those. A block is two ghost modules; blocks that
//! halve the size have a depthwise convolution between them.
//!
//! Reference: timm's `ghostnet_100`. Weight names are timm's: `conv_stem`, `bn1`, `blocks.1.0.ghost1.primary_conv.0`
//! (convolution) and `.1` (norm), `….cheap_operation.0`, `….conv_dw`, `….bn_dw`, `….se.conv_reduce`, `….ghost2.…`,
//! `….shortcut.0` to `.3`, `blocks.9.0.conv`, `blocks.9.0.bn1`, `conv_head`, `classifier`. Initial values are
//! PyTorch's defaults.
//!
//! Deviation from timm: biases of convolutions start at zero.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions};
use tallow_nn::op::Activation::{self, Hardsigmoid, Identity, Relu};
use tallow_nn::op::{activate, add_activate, global_avg_pool, reshape};
use tallow_nn::{Builder, Mode, Result};

use super::linear;
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::concat::concat_channels;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::squeeze_excite::SqueezeExcite;
use crate::layers::{PYTORCH_DEFAULT, average_map};
use crate::model::Model;
use crate::preset::Preset;

const KEYS: &[Key] = &[Key::DropRate];

const PRESET: Preset = Preset {
    keys: KEYS,
    interpolation: "bicubic",
    first_conv: "conv_stem",
    classifier: "classifier",
    ..Preset::imagenet("ghostnet_100", "cnn/ghostnet")
};

const STEM_WIDTH: usize = 16;
/// Channels of the last convolution before pooling, and of the one after it.
const FEATURES: usize = 960;
const HIDDEN: usize = 1280;

/// The configuration of a block.
#[derive(Clone, Copy)]
struct BlockSpec {
    /// Kernel size of the depthwise convolutions.
    kernel: usize,
    /// Channels between the two ghost modules.
    hidden: usize,
    outputs: usize,
    squeeze_excite: bool,
    stride: usize,
}

const fn block(kernel: usize, hidden: usize, outputs: usize, squeeze_excite: bool, stride: usize) -> BlockSpec {
    BlockSpec { kernel, hidden, outputs, squeeze_excite, stride }
}

const STAGES: [&[BlockSpec]; 9] = [
    &[block(3, 16, 16, false, 1)],
    &[block(3, 48, 24, false, 2)],
    &[block(3, 72, 24, false, 1)],
    &[block(5, 72, 40, true, 2)],
    &[block(5, 120, 40, true, 1)],
    &[block(3, 240, 80, false, 2)],
    &[
        block(3, 200, 80, false, 1),
        block(3, 184, 80, false, 1),
        block(3, 184, 80, false, 1),
        block(3, 480, 112, true, 1),
        block(3, 672, 112, true, 1),
    ],
    &[block(5, 672, 160, true, 2)],
    &[
        block(5, 960, 160, false, 1),
        block(5, 960, 160, true, 1),
        block(5, 960, 160, false, 1),
        block(5, 960, 160, true, 1),
    ],
];

pub(crate) static FAMILY: FamilyTable<()> = FamilyTable {
    variants: &[(PRESET, ())],
    build: |(), _, config, b| boxed(GhostNet::new(config, b)),
    num_features: |(), _| FEATURES,
};

struct GhostNet {
    stem: ConvNormAct,
    blocks: Vec<Block>,
    last: ConvNormAct,
    conv_head: Conv2d,
    classifier: ClassifierHead,
}

impl GhostNet {
    fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let spec = ConvSpec { stride: 2, ..ConvSpec::new(config.in_chans, STEM_WIDTH, 3) };
        let stem = layer(("conv_stem", "bn1"), spec, Relu, b)?;
        let mut inputs = STEM_WIDTH;
        let mut blocks = Vec::new();
        for (stage, specs) in STAGES.iter().enumerate() {
            for (i, spec) in specs.iter().enumerate() {
                blocks.push(Block::new(inputs, *spec, &b.pp("blocks").pp(stage).pp(i))?);
                inputs = spec.outputs;
            }
        }
        let last = b.pp("blocks").pp(STAGES.len()).pp(0);
        let head = Conv2dOptions { bias: true, init: PYTORCH_DEFAULT, ..Default::default() };
        Ok(GhostNet {
            stem,
            blocks,
            last: layer(("conv", "bn1"), ConvSpec::new(inputs, FEATURES, 1), Relu, &last)?,
            conv_head: Conv2d::new(FEATURES, HIDDEN, 1, head, &b.pp("conv_head"))?,
            classifier: ClassifierHead::new(
                linear(HIDDEN, config.num_classes, &b.pp("classifier"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for GhostNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward_unfolded(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        self.last.forward_unfolded(&x, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let pooled = global_avg_pool(features)?;
        let (n, c) = pooled.dims2()?;
        let x = activate(&self.conv_head.forward(&reshape(&pooled, (n, c, 1, 1))?)?, Relu)?;
        let x = reshape(&x, (n, x.dims()[1]))?;
        self.classifier.classify(&x, mode)
    }
}

struct Block {
    ghost1: Ghost,
    /// A depthwise convolution, in blocks that halve the size.
    conv_dw: Option<ConvNormAct>,
    se: Option<SqueezeExcite>,
    ghost2: Ghost,
    /// A depthwise and a 1×1 convolution, in blocks that change the size or the channels.
    shortcut: Option<(ConvNormAct, ConvNormAct)>,
}

impl Block {
    fn new(inputs: usize, spec: BlockSpec, b: &Builder) -> Result<Self> {
        let BlockSpec { kernel, hidden, outputs, squeeze_excite, stride } = spec;
        let ghost1 = Ghost::new(inputs, hidden, Relu, &b.pp("ghost1"))?;
        let depthwise = |channels| ConvSpec { stride, ..ConvSpec::depthwise(channels, kernel) };
        let conv_dw = (stride > 1).then(|| layer(("conv_dw", "bn_dw"), depthwise(hidden), Identity, b));
        let conv_dw = conv_dw.transpose()?;
        let se = squeeze_excite.then(|| {
            // A quarter, rounded to a multiple of 4.
            let reduced = (hidden / 4 + 2) / 4 * 4;
            let names = ("conv_reduce", "conv_expand");
            SqueezeExcite::new(hidden, reduced, names, Relu, Hardsigmoid, &b.pp("se"))
        });
        let se = se.transpose()?;
        let ghost2 = Ghost::new(hidden, outputs, Identity, &b.pp("ghost2"))?;
        let shortcut = if stride == 1 && inputs == outputs {
            None
        } else {
            let b = b.pp("shortcut");
            Some((
                layer(("0", "1"), depthwise(inputs), Identity, &b)?,
                layer(("2", "3"), ConvSpec::new(inputs, outputs, 1), Identity, &b)?,
            ))
        };
        Ok(Block { ghost1, conv_dw, se, ghost2, shortcut })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut y = self.ghost1.forward(x, mode)?;
        if let Some(conv) = &self.conv_dw {
            y = conv.forward_unfolded(&y, mode)?;
        }
        if let Some(se) = &self.se {
            y = se.forward(&y)?;
        }
        let y = self.ghost2.forward(&y, mode)?;
        match &self.shortcut {
            Some((depthwise, pointwise)) => {
                add_activate(&y, &pointwise.forward_unfolded(&depthwise.forward_unfolded(x, mode)?, mode)?, Identity)
            }
            None => add_activate(&y, x, Identity),
        }
    }
}

/// A ghost module: half of the channels, and as many computed from them.
struct Ghost {
    primary: ConvNormAct,
    cheap: ConvNormAct,
}

impl Ghost {
    fn new(inputs: usize, outputs: usize, activation: Activation, b: &Builder) -> Result<Self> {
        let layer = |spec, name: &str| layer(("0", "1"), spec, activation, &b.pp(name));
        let half = outputs / 2;
        Ok(Ghost {
            primary: layer(ConvSpec::new(inputs, half, 1), "primary_conv")?,
            cheap: layer(ConvSpec::depthwise(half, 3), "cheap_operation")?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let primary = self.primary.forward_unfolded(x, mode)?;
        let ghosts = self.cheap.forward_unfolded(&primary, mode)?;
        concat_channels(&[primary, ghosts])
    }
}

/// A layer under the names `names`.
fn layer(names: (&str, &str), spec: ConvSpec, activation: Activation, b: &Builder) -> Result<ConvNormAct> {
    let spec = ConvSpec { init: Some(PYTORCH_DEFAULT), ..spec };
    ConvNormAct::named(names, spec, Default::default(), activation, b)
}
