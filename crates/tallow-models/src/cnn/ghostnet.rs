//! GhostNet: half of each layer's channels from a cheap operation on the other half.
//!
//! Han et al. 2019, <https://arxiv.org/abs/1911.11907>. A ghost module computes half of its channels
//! with a 1×1 convolution and the other half, their ghosts, with a depthwise 3×3 on those. A block is
//! two of them, with a depthwise convolution between where it halves the size.
//!
//! Reference: timm's `ghostnet_100`. Weight names are its own: `conv_stem`, `bn1`,
//! `blocks.1.0.ghost1.primary_conv.0` (convolution) and `.1` (norm), `….cheap_operation.0`,
//! `….conv_dw`, `….bn_dw`, `….se.conv_reduce`, `….ghost2.…`, `….shortcut.0` to `.3`, `blocks.9.0.conv`,
//! `blocks.9.0.bn1`, `conv_head`, `classifier`. Initial values are PyTorch's defaults, but for the
//! biases of convolutions, which start at zero.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, Dropout, Linear};
use tallow_nn::op::Activation::{self, Hardsigmoid, Identity, Relu};
use tallow_nn::op::{activate, add_activate, global_avg_pool, reshape};
use tallow_nn::{Builder, Init, Mode, Result};

use super::linear;
use crate::config::{Key, ModelConfig};
use crate::layers::average_map;
use crate::layers::concat::concat_channels;
use crate::layers::squeeze_excite::SqueezeExcite;
use crate::model::Model;
use crate::registry::{Arch, Preset};

pub(crate) const PRESETS: &[Preset] = &[Preset {
    keys: &[Key::DropRate],
    interpolation: "bicubic",
    first_conv: "conv_stem",
    classifier: "classifier",
    ..Preset::imagenet("ghostnet_100", "cnn/ghostnet", Arch::GhostNet)
}];

const STEM_WIDTH: usize = 16;
/// Channels of the last convolution before pooling, and of the one behind it.
const FEATURES: usize = 960;
const HIDDEN: usize = 1280;

/// Channels that the classifier's head sees.
pub(crate) fn num_features() -> usize {
    FEATURES
}

/// What tells one block from another.
#[derive(Clone, Copy)]
struct BlockSpec {
    /// Of the depthwise convolutions.
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

pub(crate) struct GhostNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    last: ConvNorm,
    conv_head: Conv2d,
    dropout: Dropout,
    classifier: Linear,
}

impl GhostNet {
    pub(crate) fn new(config: &ModelConfig, b: &Builder) -> Result<Self> {
        let root = |conv: &str, norm: &str, b: &Builder| (b.pp(conv), b.pp(norm));
        let stem = ConvNorm::new(Shape::new(config.in_chans, STEM_WIDTH, 3, 2), Relu, root("conv_stem", "bn1", b))?;
        let mut inputs = STEM_WIDTH;
        let mut blocks = Vec::new();
        for (stage, specs) in STAGES.iter().enumerate() {
            for (i, spec) in specs.iter().enumerate() {
                blocks.push(Block::new(inputs, *spec, &b.pp("blocks").pp(stage).pp(i))?);
                inputs = spec.outputs;
            }
        }
        let last = root("conv", "bn1", &b.pp("blocks").pp(STAGES.len()).pp(0));
        let head = Conv2dOptions { bias: true, init: DEFAULT, ..Default::default() };
        Ok(GhostNet {
            stem,
            blocks,
            last: ConvNorm::new(Shape::new(inputs, FEATURES, 1, 1), Relu, last)?,
            conv_head: Conv2d::new(FEATURES, HIDDEN, 1, head, &b.pp("conv_head"))?,
            dropout: Dropout::new(config.drop_rate)?,
            classifier: linear(HIDDEN, config.num_classes, &b.pp("classifier"))?,
        })
    }
}

impl Model for GhostNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        self.last.forward(&x, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        let pooled = global_avg_pool(features)?;
        let (n, c) = pooled.dims2()?;
        let x = activate(&self.conv_head.forward(&reshape(&pooled, (n, c, 1, 1))?)?, Relu)?;
        let x = reshape(&x, (n, x.dims()[1]))?;
        self.classifier.forward(&self.dropout.forward(&x, mode)?)
    }
}

struct Block {
    ghost1: Ghost,
    /// Depthwise, where the size is halved.
    conv_dw: Option<ConvNorm>,
    se: Option<SqueezeExcite>,
    ghost2: Ghost,
    /// A depthwise and a 1×1 convolution, where size or channels change.
    shortcut: Option<(ConvNorm, ConvNorm)>,
}

impl Block {
    fn new(inputs: usize, spec: BlockSpec, b: &Builder) -> Result<Self> {
        let BlockSpec { kernel, hidden, outputs, squeeze_excite, stride } = spec;
        let ghost1 = Ghost::new(inputs, hidden, Relu, &b.pp("ghost1"))?;
        let conv_dw = (stride > 1).then(|| {
            let names = (b.pp("conv_dw"), b.pp("bn_dw"));
            ConvNorm::new(Shape::depthwise(hidden, kernel, stride), Identity, names)
        });
        let conv_dw = conv_dw.transpose()?;
        let se = squeeze_excite.then(|| {
            // A quarter, to the nearest multiple of 4.
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
                ConvNorm::new(Shape::depthwise(inputs, kernel, stride), Identity, (b.pp(0), b.pp(1)))?,
                ConvNorm::new(Shape::new(inputs, outputs, 1, 1), Identity, (b.pp(2), b.pp(3)))?,
            ))
        };
        Ok(Block { ghost1, conv_dw, se, ghost2, shortcut })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut y = self.ghost1.forward(x, mode)?;
        if let Some(conv) = &self.conv_dw {
            y = conv.forward(&y, mode)?;
        }
        if let Some(se) = &self.se {
            y = se.forward(&y)?;
        }
        let y = self.ghost2.forward(&y, mode)?;
        match &self.shortcut {
            Some((depthwise, pointwise)) => {
                add_activate(&y, &pointwise.forward(&depthwise.forward(x, mode)?, mode)?, Identity)
            }
            None => add_activate(&y, x, Identity),
        }
    }
}

/// Half of the channels, and the ghosts of each.
struct Ghost {
    primary: ConvNorm,
    cheap: ConvNorm,
}

impl Ghost {
    fn new(inputs: usize, outputs: usize, activation: Activation, b: &Builder) -> Result<Self> {
        let names = |name: &str| (b.pp(name).pp(0), b.pp(name).pp(1));
        let half = outputs / 2;
        Ok(Ghost {
            primary: ConvNorm::new(Shape::new(inputs, half, 1, 1), activation, names("primary_conv"))?,
            cheap: ConvNorm::new(Shape::depthwise(half, 3, 1), activation, names("cheap_operation"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let primary = self.primary.forward(x, mode)?;
        let ghosts = self.cheap.forward(&primary, mode)?;
        concat_channels(&[primary, ghosts])
    }
}

/// PyTorch's default for convolutions.
const DEFAULT: Init = Init::KaimingUniform(2.236_068);

#[derive(Clone, Copy)]
struct Shape {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Shape {
    fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Self {
        Shape { inputs, outputs, kernel, stride, groups: 1 }
    }

    fn depthwise(channels: usize, kernel: usize, stride: usize) -> Self {
        Shape { inputs: channels, outputs: channels, kernel, stride, groups: channels }
    }
}

/// A convolution, a norm and an activation, the two named apart.
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
    activation: Activation,
}

impl ConvNorm {
    fn new(shape: Shape, activation: Activation, (conv, norm): (Builder, Builder)) -> Result<Self> {
        let Shape { inputs, outputs, kernel, stride, groups } = shape;
        let options = Conv2dOptions { stride, groups, padding: kernel / 2, init: DEFAULT, ..Default::default() };
        Ok(ConvNorm {
            conv: Conv2d::new(inputs, outputs, kernel, options, &conv)?,
            norm: BatchNorm2d::new(outputs, Default::default(), &norm)?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.norm.forward_act(&self.conv.forward(x)?, self.activation, mode)
    }
}
