//! MobileViT: inverted residuals, and transformers over the pixels at the same position of each patch.
//!
//! Mehta & Rastegari 2021, <https://arxiv.org/abs/2110.02178>. MobileViTv2, 2022, <https://arxiv.org/abs/2206.02680>,
//! replaces attention by one of linear cost: a softmax over the patches weighs the keys into one context vector, which
//! scales every value.
//!
//! Reference: timm's `mobilevit_*` and `mobilevitv2_*`. Weight names are timm's: `stem.conv`,
//! `stages.0.0.conv1_1x1.conv`, `stages.2.1.conv_kxk.conv`, `stages.2.1.transformer.0.attn.qkv` (v2:
//! `.attn.qkv_proj`), `final_conv.conv`, `head.fc`. Initial values: Kaiming normal by fan-out, zero for the last norm
//! of each residual branch. A feature map that patches of 2×2 do not divide is resized, as in timm. Drop path grows
//! linearly from block to block.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNormOptions, Conv2d, Conv2dOptions, DropPath, LayerNorm, Linear};
use tallow_nn::op::Activation::{self, Identity, Relu, Silu};
use tallow_nn::op::{activate, matmul, narrow, permute, reshape, scale_channels, softmax};
use tallow_nn::{Builder, Fan, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::block::{Block, BlockSpec};
use crate::layers::concat::concat_channels;
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::group_norm::GroupNorm;
use crate::layers::head::ClassifierHead;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::resize::bilinear;
use crate::layers::{add, average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

/// The side of a patch, in pixels.
const PATCH: usize = 2;
const HEADS: usize = 4;
const EPS: f32 = 1e-5;

/// Inverted residuals of each stage.
const RESIDUALS: [usize; 5] = [1, 2, 1, 1, 1];
/// Transformer blocks of each stage.
const TRANSFORMERS: [usize; 5] = [0, 0, 2, 4, 3];

/// A variant of MobileViT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MobileVitVariant {
    stem: usize,
    /// Channels of each stage.
    widths: [usize; 5],
    /// Hidden channels of an inverted residual, as a multiple of its inputs.
    expansion: usize,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Version {
    /// `tokens`: channels of the tokens of the last three stages. `features`: channels of the last convolution.
    One { tokens: [usize; 3], features: usize },
    /// Tokens have half as many channels as the feature map.
    Two,
}

impl MobileVitVariant {
    /// The number of channels of the features.
    fn num_features(self) -> usize {
        match self.version {
            Version::One { features, .. } => features,
            Version::Two => self.widths[4],
        }
    }

    /// Inverted residuals of a stage.
    fn residuals(self, stage: usize) -> usize {
        // The second stage of the first version has one more.
        RESIDUALS[stage] + usize::from(stage == 1 && self.version != Version::Two)
    }
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::ZeroInitLast];

const VARIANTS: &[(Preset, MobileVitVariant)] = &[
    (preset("mobilevit_xxs"), one([16, 24, 48, 64, 80], 2, [64, 80, 96], 320)),
    (preset("mobilevit_xs"), one([32, 48, 64, 80, 96], 4, [96, 120, 144], 384)),
    (preset("mobilevit_s"), one([32, 64, 96, 128, 160], 4, [144, 192, 240], 640)),
    (preset_v2("mobilevitv2_050"), two(16)),
    (preset_v2("mobilevitv2_075"), two(24)),
    (preset_v2("mobilevitv2_100"), two(32)),
];

const fn one(widths: [usize; 5], expansion: usize, tokens: [usize; 3], features: usize) -> MobileVitVariant {
    MobileVitVariant { stem: 16, widths, expansion, version: Version::One { tokens, features } }
}

const fn two(stem: usize) -> MobileVitVariant {
    let widths = [2 * stem, 4 * stem, 8 * stem, 12 * stem, 16 * stem];
    MobileVitVariant { stem, widths, expansion: 2, version: Version::Two }
}

const fn preset_v2(name: &'static str) -> Preset {
    Preset { crop_pct: 0.888, ..preset(name) }
}

/// The preprocessing of timm's default weights, `cvnets_in1k`: pixels from 0 to 1, not normalised.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        input_size: (256, 256),
        mean: &[0.0; 3],
        std: &[1.0; 3],
        crop_pct: 0.9,
        interpolation: "bicubic",
        first_conv: "stem.conv",
        classifier: "head.fc",
        ..Preset::imagenet(name, "hybrid/mobilevit")
    }
}

pub(crate) static FAMILY: FamilyTable<MobileVitVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(MobileVit::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct MobileVit {
    stem: ConvNormAct,
    stages: Vec<StageBlock>,
    final_conv: Option<ConvNormAct>,
    classifier: ClassifierHead,
}

impl MobileVit {
    fn new(variant: MobileVitVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let MobileVitVariant { stem, widths, expansion, version } = variant;
        // A transformer with its convolutions counts as one block for drop path.
        let transformers = TRANSFORMERS.iter().filter(|depth| **depth > 0).count();
        let total = (0..5).map(|stage| variant.residuals(stage)).sum::<usize>() + transformers;
        let spec = ConvSpec { stride: 2, ..ConvSpec::new(config.in_chans, stem, 3) };
        let stem_conv = conv(spec, Silu, &b.pp("stem"))?;
        let (mut stages, mut inputs) = (Vec::new(), stem);
        for (stage, channels) in widths.into_iter().enumerate() {
            let b = b.pp("stages").pp(stage);
            let residuals = variant.residuals(stage);
            for i in 0..residuals {
                let spec = ResidualSpec {
                    inputs,
                    hidden: inputs * expansion,
                    outputs: channels,
                    stride: if i == 0 && stage > 0 { 2 } else { 1 },
                    zero_init_last: config.zero_init_last.unwrap_or(true),
                    drop_path: drop_path_rate(config.drop_path_rate, stages.len(), total),
                };
                stages.push(StageBlock::Residual(Box::new(InvertedResidual::new(spec, &b.pp(i))?)));
                inputs = channels;
            }
            if TRANSFORMERS[stage] > 0 {
                let drop_path = drop_path_rate(config.drop_path_rate, stages.len(), total);
                let (depth, b) = (TRANSFORMERS[stage], b.pp(residuals));
                stages.push(match version {
                    Version::One { tokens, .. } => {
                        let block = MobileVitBlock::new(channels, tokens[stage - 2], depth, drop_path, &b)?;
                        StageBlock::One(Box::new(block))
                    }
                    Version::Two => StageBlock::Two(Box::new(MobileVitV2Block::new(channels, depth, drop_path, &b)?)),
                });
            }
        }
        let final_conv = match version {
            Version::One { features, .. } => Some(conv(ConvSpec::new(inputs, features, 1), Silu, &b.pp("final_conv"))?),
            Version::Two => None,
        };
        let classifier = Init::Normal(0.01);
        Ok(MobileVit {
            stem: stem_conv,
            stages,
            final_conv,
            classifier: ClassifierHead::new(
                Linear::new(variant.num_features(), config.num_classes, true, classifier, &b.pp("head").pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for MobileVit {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.stages {
            x = match block {
                StageBlock::Residual(block) => block.forward(&x, mode)?,
                StageBlock::One(block) => block.forward(&x, mode)?,
                StageBlock::Two(block) => block.forward(&x, mode)?,
            };
        }
        match &self.final_conv {
            Some(conv) => conv.forward(&x, mode),
            None => Ok(x),
        }
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

enum StageBlock {
    Residual(Box<InvertedResidual>),
    One(Box<MobileVitBlock>),
    Two(Box<MobileVitV2Block>),
}

struct ResidualSpec {
    inputs: usize,
    hidden: usize,
    outputs: usize,
    stride: usize,
    zero_init_last: bool,
    drop_path: f32,
}

/// 1×1 expansion, 3×3 depthwise, 1×1 projection; blocks that keep the shape have a shortcut.
struct InvertedResidual {
    conv1_1x1: ConvNormAct,
    conv2_kxk: ConvNormAct,
    conv3_1x1: ConvNormAct,
    shortcut: bool,
    drop_path: DropPath,
}

impl InvertedResidual {
    fn new(spec: ResidualSpec, b: &Builder) -> Result<Self> {
        let ResidualSpec { inputs, hidden, outputs, stride, zero_init_last, drop_path } = spec;
        let shortcut = stride == 1 && inputs == outputs;
        let weight_init = if shortcut && zero_init_last { 0.0 } else { 1.0 };
        let norm = BatchNormOptions { weight_init, ..Default::default() };
        let last = ConvSpec::new(hidden, outputs, 1);
        Ok(InvertedResidual {
            conv1_1x1: conv(ConvSpec::new(inputs, hidden, 1), Silu, &b.pp("conv1_1x1"))?,
            conv2_kxk: conv(depthwise(hidden, stride), Silu, &b.pp("conv2_kxk"))?,
            conv3_1x1: ConvNormAct::new(last, norm, Identity, &b.pp("conv3_1x1"))?,
            shortcut,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.conv2_kxk.forward(&self.conv1_1x1.forward(x, mode)?, mode)?;
        let y = self.drop_path.forward(&self.conv3_1x1.forward(&y, mode)?, mode)?;
        if self.shortcut { add(x, &y) } else { Ok(y) }
    }
}

fn conv(spec: ConvSpec, activation: Activation, b: &Builder) -> Result<ConvNormAct> {
    ConvNormAct::new(spec, Default::default(), activation, b)
}

/// A 3×3 depthwise convolution.
fn depthwise(channels: usize, stride: usize) -> ConvSpec {
    let init = Some(Init::KaimingNormal(Fan::Out));
    ConvSpec { stride, init, ..ConvSpec::depthwise(channels, 3) }
}

/// Height and width rounded up to multiples of the patch.
fn divided(x: &Tensor) -> Result<(usize, usize)> {
    let (_, _, h, w) = x.dims4()?;
    Ok((h.next_multiple_of(PATCH), w.next_multiple_of(PATCH)))
}

/// `[n, c, h, w]` → `[n, positions in a patch, patches, c]`.
fn unfold(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let x = reshape(&permute(x, (0, 2, 3, 1))?, vec![n, h / PATCH, PATCH, w / PATCH, PATCH, c])?;
    reshape(&permute(&x, vec![0, 2, 4, 1, 3, 5])?, (n, PATCH * PATCH, (h / PATCH) * (w / PATCH), c))
}

/// The inverse of [`unfold`], to a map of `h` × `w`; the first two dimensions may be merged.
fn fold(x: &Tensor, n: usize, (h, w): (usize, usize)) -> Result<Tensor> {
    let c = x.elem_count() / (n * h * w);
    let x = reshape(x, vec![n, PATCH, PATCH, h / PATCH, w / PATCH, c])?;
    let x = reshape(&permute(&x, vec![0, 3, 1, 4, 2, 5])?, (n, h, w, c))?;
    permute(&x, (0, 3, 1, 2))
}

struct MobileVitBlock {
    conv_kxk: ConvNormAct,
    conv_1x1: Conv2d,
    transformer: Vec<Block>,
    norm: LayerNorm,
    conv_proj: ConvNormAct,
    conv_fusion: ConvNormAct,
}

impl MobileVitBlock {
    fn new(channels: usize, tokens: usize, depth: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let spec = BlockSpec {
            dim: tokens,
            heads: HEADS,
            hidden: 2 * tokens,
            activation: Silu,
            eps: EPS,
            layer_scale: None,
            drop_path,
            lora_rank: 0,
        };
        Ok(MobileVitBlock {
            conv_kxk: conv(ConvSpec::new(channels, channels, 3), Silu, &b.pp("conv_kxk"))?,
            conv_1x1: Conv2d::new(channels, tokens, 1, Default::default(), &b.pp("conv_1x1"))?,
            transformer: (0..depth).map(|i| Block::new(spec, &b.pp("transformer").pp(i))).collect::<Result<_>>()?,
            norm: LayerNorm::new(tokens, EPS, &b.pp("norm"))?,
            conv_proj: conv(ConvSpec::new(tokens, channels, 1), Silu, &b.pp("conv_proj"))?,
            conv_fusion: conv(ConvSpec::new(2 * channels, channels, 3), Silu, &b.pp("conv_fusion"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.conv_1x1.forward(&self.conv_kxk.forward(x, mode)?)?;
        let (n, _, h, w) = y.dims4()?;
        let size = divided(&y)?;
        let resize = |y: &Tensor, from, to| if from == to { Ok(y.clone()) } else { bilinear(y, to, false) };
        let y = unfold(&resize(&y, (h, w), size)?)?;
        let (_, places, patches, c) = y.dims4()?;
        let mut y = reshape(&y, (n * places, patches, c))?;
        for block in &self.transformer {
            y = block.forward(&y, mode)?;
        }
        let y = resize(&fold(&self.norm.forward(&y)?, n, size)?, size, (h, w))?;
        let y = self.conv_proj.forward(&y, mode)?;
        self.conv_fusion.forward(&concat_channels(&[x.clone(), y])?, mode)
    }
}

struct MobileVitV2Block {
    conv_kxk: ConvNormAct,
    conv_1x1: Conv2d,
    transformer: Vec<LinearTransformerBlock>,
    norm: GroupNorm,
    conv_proj: ConvNormAct,
}

impl MobileVitV2Block {
    fn new(channels: usize, depth: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let tokens = channels / 2;
        Ok(MobileVitV2Block {
            conv_kxk: conv(depthwise(channels, 1), Silu, &b.pp("conv_kxk"))?,
            conv_1x1: Conv2d::new(channels, tokens, 1, Default::default(), &b.pp("conv_1x1"))?,
            transformer: (0..depth)
                .map(|i| LinearTransformerBlock::new(tokens, drop_path, &b.pp("transformer").pp(i)))
                .collect::<Result<_>>()?,
            norm: GroupNorm::new(1, tokens, EPS, &b.pp("norm"))?,
            conv_proj: conv(ConvSpec::new(tokens, channels, 1), Identity, &b.pp("conv_proj"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (n, _, h, w) = x.dims4()?;
        let size = divided(x)?;
        let x = if size == (h, w) { x.clone() } else { bilinear(x, size, true)? };
        let x = self.conv_1x1.forward(&self.conv_kxk.forward(&x, mode)?)?;
        // An image of positions by patches, so that 1×1 convolutions and norms apply.
        let mut x = permute(&unfold(&x)?, (0, 3, 1, 2))?;
        for block in &self.transformer {
            x = block.forward(&x, mode)?;
        }
        let x = permute(&self.norm.forward(&x)?, (0, 2, 3, 1))?;
        self.conv_proj.forward(&fold(&x, n, size)?, mode)
    }
}

/// Attention of linear cost and an MLP of 1×1 convolutions, over `[n, c, positions, patches]`.
struct LinearTransformerBlock {
    norm1: GroupNorm,
    qkv_proj: Conv2d,
    out_proj: Conv2d,
    norm2: GroupNorm,
    fc1: Conv2d,
    fc2: Conv2d,
    drop_path: DropPath,
}

impl LinearTransformerBlock {
    fn new(dim: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let conv = |inputs: usize, outputs: usize, b: Builder| {
            Conv2d::new(inputs, outputs, 1, Conv2dOptions { bias: true, ..Default::default() }, &b)
        };
        let (attn, mlp) = (b.pp("attn"), b.pp("mlp"));
        Ok(LinearTransformerBlock {
            norm1: GroupNorm::new(1, dim, EPS, &b.pp("norm1"))?,
            qkv_proj: conv(dim, 1 + 2 * dim, attn.pp("qkv_proj"))?,
            out_proj: conv(dim, dim, attn.pp("out_proj"))?,
            norm2: GroupNorm::new(1, dim, EPS, &b.pp("norm2"))?,
            fc1: conv(dim, 2 * dim, mlp.pp("fc1"))?,
            fc2: conv(2 * dim, dim, mlp.pp("fc2"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.attention(&self.norm1.forward(x)?)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = activate(&self.fc1.forward(&self.norm2.forward(&x)?)?, Silu)?;
        add(&x, &self.drop_path.forward(&self.fc2.forward(&y)?, mode)?)
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, places, patches) = x.dims4()?;
        let qkv = permute(&self.qkv_proj.forward(x)?, (0, 2, 3, 1))?;
        let qkv = reshape(&qkv, (n * places, patches, 1 + 2 * c))?;
        let scores = softmax(&reshape(&narrow(&qkv, 2, 0, 1)?, (n * places, 1, patches))?)?;
        let context = reshape(&matmul(&scores, &narrow(&qkv, 2, 1, c)?)?, (n * places, c))?;
        let value = reshape(&narrow(&qkv, 2, 1 + c, c)?, (n * places, 1, patches, c))?;
        let y = scale_channels(&activate(&permute(&value, (0, 3, 1, 2))?, Relu)?, &context)?;
        let y = reshape(&permute(&y, (0, 2, 3, 1))?, (n, places, patches, c))?;
        self.out_proj.forward(&permute(&y, (0, 3, 1, 2))?)
    }
}
