//! CoAtNet: two stages of inverted residuals, then two of transformers, each halving the map.
//!
//! Dai et al. 2021, <https://arxiv.org/abs/2106.04803>. Attention has a learned bias for how far apart
//! two pixels lie.
//!
//! Reference: timm's `coatnet_*_rw_224`, and its `test_coatnet`, which is small enough for images of 32
//! pixels. Weight names are its own: `stem.conv1`, `stages.0.blocks.0.conv2_kxk`,
//! `stages.2.blocks.0.attn.rel_pos.relative_position_bias_table`, `norm`, `head.fc`. Initial values: Kaiming
//! normal by fan-out for convolutions, Xavier uniform in transformers. Drop path grows linearly from
//! block to block. The size is fixed when the model is built, and a multiple of 32.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, DropPath, Dropout, Linear};
use tallow_nn::op::Activation::{Gelu, Relu, Silu};
use tallow_nn::op::{activate, attention, global_avg_pool, image, tokens};
use tallow_nn::{Builder, Init, Mode, Result};

use super::mbconv::{Downsample, MbConv, MbConvStyle, Stem, halve};
use crate::config::{Key, ModelConfig};
use crate::layers::attention::split_heads;
use crate::layers::layer_norm2d::LayerNorm2d;
use crate::layers::rel_pos::RelPosBias;
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate};
use crate::model::Model;
use crate::registry::{Arch, Preset};

/// Channels of a head.
const HEAD: usize = 32;
const EPS: f32 = 1e-6;

/// What tells one CoAtNet from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    stem: [usize; 2],
    /// Channels of each stage.
    widths: [usize; 4],
    /// Blocks of each stage.
    depths: [usize; 4],
    conv: MbConvStyle,
    /// Whether the shortcut's convolution of a transformer block has a bias.
    shortcut_bias: bool,
}

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        self.widths[3]
    }
}

/// As in timm's first models.
const EARLY: MbConvStyle = MbConvStyle {
    pool: true,
    bias: false,
    early_squeeze: true,
    activate_first: true,
    squeeze_activation: Relu,
    squeeze: 4,
};

/// As in timm's later ones, MaxViT among them.
const LATE: MbConvStyle = MbConvStyle {
    pool: true,
    bias: true,
    early_squeeze: false,
    activate_first: false,
    squeeze_activation: Silu,
    squeeze: 4,
};

pub(crate) const PRESETS: &[Preset] = &[
    Preset { input_size: (160, 160), ..late("test_coatnet", [16, 32], [32, 64, 96, 128], [1, 1, 2, 1], LATE) },
    late("coatnet_pico_rw_224", [32, 64], [64, 128, 256, 512], [2, 3, 5, 2], MbConvStyle { pool: false, ..LATE }),
    Preset { crop_pct: 0.9, ..late("coatnet_nano_rw_224", [32, 64], [64, 128, 256, 512], [3, 4, 6, 3], LATE) },
    early("coatnet_0_rw_224", [2, 3, 7, 2], EARLY),
    early("coatnet_1_rw_224", [2, 6, 14, 2], MbConvStyle { pool: false, ..EARLY }),
];

const fn late(
    name: &'static str,
    stem: [usize; 2],
    widths: [usize; 4],
    depths: [usize; 4],
    conv: MbConvStyle,
) -> Preset {
    preset(name, Layout { stem, widths, depths, conv, shortcut_bias: true })
}

const fn early(name: &'static str, depths: [usize; 4], conv: MbConvStyle) -> Preset {
    let widths = [96, 192, 384, 768];
    preset(name, Layout { stem: [32, 64], widths, depths, conv, shortcut_bias: false })
}

/// Preprocessing is that of timm's default weights, `sw_in1k`.
const fn preset(name: &'static str, layout: Layout) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate],
        min_input_size: 32,
        size_multiple: 32,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        crop_pct: 0.95,
        interpolation: "bicubic",
        first_conv: "stem.conv1",
        classifier: "head.fc",
        ..Preset::imagenet(name, "hybrid/coatnet", Arch::CoAtNet(layout))
    }
}

pub(crate) struct CoAtNet {
    stem: Stem,
    blocks: Vec<Block>,
    norm: LayerNorm2d,
    dropout: Dropout,
    fc: Linear,
}

enum Block {
    Conv(Box<MbConv>),
    Transformer(Box<TransformerBlock>),
}

impl CoAtNet {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { stem, widths, depths, conv, shortcut_bias } = layout;
        let total: usize = depths.iter().sum();
        let (h, w) = config.input_size;
        let stem_layers = Stem::new(config.in_chans, stem, &b.pp("stem"))?;
        let (mut blocks, mut inputs) = (Vec::with_capacity(total), stem[1]);
        for (stage, outputs) in widths.into_iter().enumerate() {
            for i in 0..depths[stage] {
                let b = b.pp("stages").pp(stage).pp("blocks").pp(i);
                let stride = if i == 0 { 2 } else { 1 };
                let drop_path = drop_path_rate(config.drop_path_rate, blocks.len(), total);
                blocks.push(if stage < 2 {
                    Block::Conv(Box::new(MbConv::new((inputs, outputs), stride, conv, drop_path, &b)?))
                } else {
                    let spec = TransformerSpec {
                        inputs,
                        outputs,
                        downsample: stride == 2,
                        shortcut_bias,
                        size: (h >> (stage + 2), w >> (stage + 2)),
                        drop_path,
                    };
                    Block::Transformer(Box::new(TransformerBlock::new(spec, &b)?))
                });
                inputs = outputs;
            }
        }
        Ok(CoAtNet {
            stem: stem_layers,
            blocks,
            norm: LayerNorm2d::new(inputs, EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear::new(inputs, config.num_classes, true, TRUNCATED, &b.pp("head").pp("fc"))?,
        })
    }
}

impl Model for CoAtNet {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = match block {
                Block::Conv(block) => block.forward(&x, mode)?,
                Block::Transformer(block) => block.forward(&x, mode)?,
            };
        }
        self.norm.forward(&x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.fc.forward(&self.dropout.forward(&global_avg_pool(features)?, mode)?)
    }
}

struct TransformerSpec {
    inputs: usize,
    outputs: usize,
    /// Whether the block halves the map first.
    downsample: bool,
    shortcut_bias: bool,
    /// Of the map that is attended to.
    size: (usize, usize),
    drop_path: f32,
}

/// Attention and MLP over the pixels of `[n, c, h, w]`; its linear layers are 1×1 convolutions.
struct TransformerBlock {
    shortcut: Option<Downsample>,
    norm1: LayerNorm2d,
    qkv: Conv2d,
    rel_pos: RelPosBias,
    proj: Conv2d,
    norm2: LayerNorm2d,
    fc1: Conv2d,
    fc2: Conv2d,
    heads: usize,
    drop_path: DropPath,
}

impl TransformerBlock {
    fn new(spec: TransformerSpec, b: &Builder) -> Result<Self> {
        let TransformerSpec { inputs, outputs, downsample, shortcut_bias, size, drop_path } = spec;
        let conv = |inputs: usize, outputs: usize, b: Builder| {
            let options = Conv2dOptions { bias: true, init: Init::XavierUniform, ..Default::default() };
            Conv2d::new(inputs, outputs, 1, options, &b)
        };
        let (attn, mlp) = (b.pp("attn"), b.pp("mlp"));
        let heads = inputs / HEAD;
        let shortcut = || Downsample::new(inputs, outputs, shortcut_bias, &b.pp("shortcut"));
        Ok(TransformerBlock {
            shortcut: downsample.then(shortcut).transpose()?,
            // Where the map is halved, timm has the norm and the pooling behind it as one.
            norm1: LayerNorm2d::new(inputs, EPS, &if downsample { b.pp("norm1").pp("norm") } else { b.pp("norm1") })?,
            qkv: conv(inputs, 3 * inputs, attn.pp("qkv"))?,
            rel_pos: RelPosBias::new(size, heads, &attn.pp("rel_pos"))?,
            proj: conv(inputs, outputs, attn.pp("proj"))?,
            norm2: LayerNorm2d::new(outputs, EPS, &b.pp("norm2"))?,
            fc1: conv(outputs, 4 * outputs, mlp.pp("fc1"))?,
            fc2: conv(4 * outputs, outputs, mlp.pp("fc2"))?,
            heads,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut y = self.norm1.forward(x)?;
        let shortcut = match &self.shortcut {
            Some(shortcut) => {
                y = halve(&y)?;
                shortcut.forward(x)?
            }
            None => x.clone(),
        };
        let x = add(&shortcut, &self.drop_path.forward(&self.attention(&y)?, mode)?)?;
        let y = activate(&self.fc1.forward(&self.norm2.forward(&x)?)?, Gelu)?;
        add(&x, &self.drop_path.forward(&self.fc2.forward(&y)?, mode)?)
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let (_, _, h, w) = qkv.dims4()?;
        let [q, k, v] = split_heads(&tokens(&qkv)?, self.heads, [HEAD; 3])?;
        let scale = 1.0 / (HEAD as f32).sqrt();
        let y = attention(&q, &k, &v, self.heads, scale, Some(&self.rel_pos.forward()?))?;
        self.proj.forward(&image(&y, (h, w))?)
    }
}
