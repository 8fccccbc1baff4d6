//! CoAtNet: two stages of inverted residuals and two stages of transformers, each of which halves the feature map.
//!
//! Dai et al. 2021, <https://arxiv.org/abs/2106.04803>. Attention has a learned bias for the offset of two pixels.
//!
//! Reference: timm's `coatnet_*_rw_224` and `test_coatnet`, which fits images of 32 pixels. Weight names are timm's:
//! `stem.conv1`, `stages.0.blocks.0.conv2_kxk`, `stages.2.blocks.0.attn.rel_pos.relative_position_bias_table`, `norm`,
//! `head.fc`. Initial values: Kaiming normal by fan-out for convolutions, Xavier uniform in transformers. Drop path
//! grows linearly from block to block. The input size is fixed when the model is built and is a multiple of 32. The
//! network is in `maxxvit.rs`.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, DropPath};
use tallow_nn::op::Activation::{Gelu, Relu, Silu};
use tallow_nn::op::{activate, image, tokens};
use tallow_nn::{Builder, Init, Mode, Result};

use super::maxxvit::{Block, EPS, MaxxVit, Place, RelPosAttention, Sizes};
use super::mbconv::{Downsample, MbConv, MbConvStyle, halve};
use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::add;
use crate::layers::layer_norm2d::LayerNorm2d;
use crate::preset::Preset;

/// A variant of CoAtNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CoAtNetVariant {
    sizes: Sizes,
    conv: MbConvStyle,
    /// Whether the shortcut's convolution of a transformer block has a bias.
    shortcut_bias: bool,
}

/// The style of timm's first models.
const EARLY: MbConvStyle = MbConvStyle {
    pool: true,
    bias: false,
    early_squeeze: true,
    activate_first: true,
    squeeze_activation: Relu,
    squeeze: 4,
};

/// The style of timm's later models.
const LATE: MbConvStyle = MbConvStyle {
    pool: true,
    bias: true,
    early_squeeze: false,
    activate_first: false,
    squeeze_activation: Silu,
    squeeze: 4,
};

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, CoAtNetVariant)] = &[
    (
        Preset { input_size: (160, 160), ..preset("test_coatnet") },
        late(Sizes { stem: [16, 32], widths: [32, 64, 96, 128], depths: [1, 1, 2, 1] }, LATE),
    ),
    (preset("coatnet_pico_rw_224"), late(narrow([2, 3, 5, 2]), MbConvStyle { pool: false, ..LATE })),
    (Preset { crop_pct: 0.9, ..preset("coatnet_nano_rw_224") }, late(narrow([3, 4, 6, 3]), LATE)),
    (preset("coatnet_0_rw_224"), early(wide([2, 3, 7, 2]), EARLY)),
    (preset("coatnet_1_rw_224"), early(wide([2, 6, 14, 2]), MbConvStyle { pool: false, ..EARLY })),
];

const fn narrow(depths: [usize; 4]) -> Sizes {
    Sizes { stem: [32, 64], widths: [64, 128, 256, 512], depths }
}

const fn wide(depths: [usize; 4]) -> Sizes {
    Sizes { stem: [32, 64], widths: [96, 192, 384, 768], depths }
}

const fn late(sizes: Sizes, conv: MbConvStyle) -> CoAtNetVariant {
    CoAtNetVariant { sizes, conv, shortcut_bias: true }
}

const fn early(sizes: Sizes, conv: MbConvStyle) -> CoAtNetVariant {
    CoAtNetVariant { sizes, conv, shortcut_bias: false }
}

/// The preprocessing of timm's default weights, `sw_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 32,
        size_multiple: 32,
        fixed_input_size: true,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        crop_pct: 0.95,
        interpolation: "bicubic",
        first_conv: "stem.conv1",
        classifier: "head.fc",
        ..Preset::imagenet(name, "hybrid/coatnet")
    }
}

pub(crate) static FAMILY: FamilyTable<CoAtNetVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(coatnet(variant, config, b)),
    num_features: |variant, _| variant.sizes.widths[3],
};

fn coatnet(variant: CoAtNetVariant, config: &ModelConfig, b: &Builder) -> Result<MaxxVit<CoAtNetBlock>> {
    let (h, w) = config.input_size;
    let block = |place: Place, b: &Builder| {
        Ok(if place.stage < 2 {
            let Place { inputs, outputs, stride, drop_path, .. } = place;
            let conv = MbConv::new((inputs, outputs), stride, variant.conv, drop_path, b)?;
            CoAtNetBlock::Conv(Box::new(conv))
        } else {
            let size = (h >> (place.stage + 2), w >> (place.stage + 2));
            CoAtNetBlock::Transformer(Box::new(TransformerBlock::new(place, size, variant.shortcut_bias, b)?))
        })
    };
    MaxxVit::new(variant.sizes, config, block, b)
}

enum CoAtNetBlock {
    Conv(Box<MbConv>),
    Transformer(Box<TransformerBlock>),
}

impl Block for CoAtNetBlock {
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match self {
            CoAtNetBlock::Conv(block) => block.forward(x, mode),
            CoAtNetBlock::Transformer(block) => block.forward(x, mode),
        }
    }
}

/// Attention and MLP over the pixels of `[n, c, h, w]`; its linear layers are 1×1 convolutions.
struct TransformerBlock {
    shortcut: Option<Downsample>,
    norm1: LayerNorm2d,
    qkv: Conv2d,
    attention: RelPosAttention,
    proj: Conv2d,
    norm2: LayerNorm2d,
    fc1: Conv2d,
    fc2: Conv2d,
    drop_path: DropPath,
}

impl TransformerBlock {
    /// `size` is that of the map that is attended to; `shortcut_bias` is for the shortcut's convolution.
    fn new(place: Place, size: (usize, usize), shortcut_bias: bool, b: &Builder) -> Result<Self> {
        let Place { inputs, outputs, stride, drop_path, .. } = place;
        let downsample = stride == 2;
        let conv = |inputs: usize, outputs: usize, b: Builder| {
            let options = Conv2dOptions { bias: true, init: Init::XavierUniform, ..Default::default() };
            Conv2d::new(inputs, outputs, 1, options, &b)
        };
        let (attn, mlp) = (b.pp("attn"), b.pp("mlp"));
        let shortcut = || Downsample::new(inputs, outputs, shortcut_bias, &b.pp("shortcut"));
        Ok(TransformerBlock {
            shortcut: downsample.then(shortcut).transpose()?,
            // In blocks that halve the map, timm's `norm1` contains norm and pooling.
            norm1: LayerNorm2d::new(inputs, EPS, &if downsample { b.pp("norm1").pp("norm") } else { b.pp("norm1") })?,
            qkv: conv(inputs, 3 * inputs, attn.pp("qkv"))?,
            attention: RelPosAttention::new(inputs, size, &attn)?,
            proj: conv(inputs, outputs, attn.pp("proj"))?,
            norm2: LayerNorm2d::new(outputs, EPS, &b.pp("norm2"))?,
            fc1: conv(outputs, 4 * outputs, mlp.pp("fc1"))?,
            fc2: conv(4 * outputs, outputs, mlp.pp("fc2"))?,
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
        let x = add(&shortcut, &self.drop_path.forward(&self.attend(&y)?, mode)?)?;
        let y = activate(&self.fc1.forward(&self.norm2.forward(&x)?)?, Gelu)?;
        add(&x, &self.drop_path.forward(&self.fc2.forward(&y)?, mode)?)
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?;
        let (_, _, h, w) = qkv.dims4()?;
        let y = self.attention.forward(&tokens(&qkv)?)?;
        self.proj.forward(&image(&y, (h, w))?)
    }
}
