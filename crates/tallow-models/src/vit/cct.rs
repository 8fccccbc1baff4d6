//! Compact Convolutional Transformer: a small transformer on convolutional tokens, for images of about 32 pixels and
//! small datasets.
//!
//! Hassani et al. 2021, <https://arxiv.org/abs/2104.05704>. Convolution, ReLU and max-pooling produce the tokens, so
//! patches overlap. Instead of a class token, a learned attention over the tokens pools them (sequence pooling).
//! `cct_7_3x1_32` is CCT-7/3×1: seven blocks on one 3×3 convolution.
//!
//! timm has no such model. Reference: the authors' Compact-Transformers. Weight names are theirs:
//! `tokenizer.conv_layers.0.0`, `classifier.positional_emb`, `classifier.attention_pool`,
//! `classifier.blocks.0.pre_norm`, `.self_attn.qkv`, `.linear1`, `.norm1`, `.linear2`, `classifier.norm`,
//! `classifier.fc`. Initial values are theirs too. `drop_rate` is the dropout after the position embeddings and in the
//! MLPs (the authors' `dropout`).
//!
//! Deviation from the reference: attention has no dropout; the authors' default is 0.1.

use candle_core::Tensor;
use tallow_nn::layers::{Conv2d, Conv2dOptions, DropPath, Dropout, LayerNorm, Linear};
use tallow_nn::op::Activation::{Gelu, Relu};
use tallow_nn::op::{PoolConfig, activate, add_positions, attention_qkv, matmul, max_pool2d, reshape, softmax, tokens};
use tallow_nn::{Builder, Error, Fan, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::{TRUNCATED, add, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

const EPS: f32 = 1e-5;

/// Channels between two convolutions of the tokenizer.
const BETWEEN: usize = 64;

/// A variant of CCT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CctVariant {
    /// The number of blocks.
    depth: usize,
    /// The number of convolutions of the tokenizer.
    convs: usize,
    width: usize,
    heads: usize,
    mlp_ratio: f32,
}

impl CctVariant {
    /// This variant with the overrides of the config.
    ///
    /// # Errors
    /// Heads that do not divide the width.
    pub(crate) fn with(self, preset: &Preset, config: &ModelConfig) -> crate::Result<CctVariant> {
        let width = config.width.unwrap_or(self.width);
        let heads = config.num_heads.unwrap_or(self.heads);
        if !width.is_multiple_of(heads) {
            return Err(preset.bad_value("num_heads", format!("a divisor of the width, {width},"), heads));
        }
        let mlp_ratio = config.mlp_ratio.unwrap_or(self.mlp_ratio);
        Ok(CctVariant { depth: config.depth.unwrap_or(self.depth), width, heads, mlp_ratio, ..self })
    }

    /// The number of channels of the features.
    fn num_features(self, config: &ModelConfig) -> usize {
        config.width.unwrap_or(self.width)
    }
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::Width, Key::Depth, Key::NumHeads, Key::MlpRatio];

const VARIANTS: &[(Preset, CctVariant)] = &[
    (preset("cct_2_3x2_32"), CctVariant { depth: 2, convs: 2, width: 128, heads: 2, mlp_ratio: 1.0 }),
    (preset("cct_4_3x2_32"), CctVariant { depth: 4, convs: 2, width: 128, heads: 2, mlp_ratio: 1.0 }),
    (preset("cct_7_3x1_32"), CctVariant { depth: 7, convs: 1, width: 256, heads: 4, mlp_ratio: 2.0 }),
];

/// Mean and standard deviation of CIFAR-10.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        input_size: (32, 32),
        num_classes: 10,
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.2470, 0.2435, 0.2616],
        crop_pct: 1.0,
        fixed_input_size: true,
        interpolation: "bicubic",
        first_conv: "tokenizer.conv_layers.0.0",
        classifier: "classifier.fc",
        ..Preset::imagenet(name, "vit/cct")
    }
}

pub(crate) static FAMILY: FamilyTable<CctVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, preset, config, b| boxed(Cct::new(variant.with(preset, config)?, config, b)),
    num_features: |variant, config| variant.num_features(config),
};

struct Cct {
    tokenizer: Vec<Conv2d>,
    positional_emb: Tensor,
    attention_pool: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    dropout: Dropout,
    fc: Linear,
}

impl Cct {
    fn new(variant: CctVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let CctVariant { depth, convs, width, .. } = variant;
        let tokenizer = (0..convs).map(|i| {
            let inputs = if i == 0 { config.in_chans } else { BETWEEN };
            let outputs = if i + 1 == convs { width } else { BETWEEN };
            let options = Conv2dOptions { padding: 1, init: Init::KaimingNormal(Fan::In), ..Default::default() };
            Conv2d::new(inputs, outputs, 3, options, &b.pp("tokenizer").pp("conv_layers").pp(i).pp(0))
        });
        let tokenizer = tokenizer.collect::<Result<_>>()?;
        let side = |pixels: usize| (0..convs).fold(pixels, |pixels, _| pixels.div_ceil(2));
        let count = side(config.input_size.0) * side(config.input_size.1);
        let b = b.pp("classifier");
        let positions = Init::TruncatedNormal { std: 0.2, limit: 2.0 };
        Ok(Cct {
            tokenizer,
            positional_emb: b.param("positional_emb", &[1, count, width], positions)?,
            attention_pool: Linear::new(width, 1, true, TRUNCATED, &b.pp("attention_pool"))?,
            blocks: (0..depth)
                .map(|i| {
                    let drop_path = drop_path_rate(config.drop_path_rate, i, depth);
                    Block::new(variant, config.drop_rate, drop_path, &b.pp("blocks").pp(i))
                })
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear::new(width, config.num_classes, true, TRUNCATED, &b.pp("fc"))?,
        })
    }
}

impl Model for Cct {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = images.clone();
        for conv in &self.tokenizer {
            x = max_pool2d(&activate(&conv.forward(&x)?, Relu)?, PoolConfig::square(3, 2, 1))?;
        }
        let x = tokens(&x)?;
        let (found, expected) = (x.dims()[1], self.positional_emb.dims()[1]);
        if found != expected {
            return Err(Error::input(
                "cct",
                format!("the {expected} tokens it was built for"),
                format!("{found} tokens"),
            ));
        }
        let mut x = self.dropout.forward(&add_positions(&x, &self.positional_emb)?, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        self.norm.forward(&x)
    }

    fn forward_head(&self, features: &Tensor, _mode: &Mode) -> Result<Tensor> {
        let (n, l, c) = features.dims3()?;
        let weights = softmax(&reshape(&self.attention_pool.forward(features)?, (n, 1, l))?)?;
        self.fc.forward(&reshape(&matmul(&weights, features)?, (n, c))?)
    }
}

/// Pre-norm attention; then a norm whose output is the input of both the MLP and its shortcut.
struct Block {
    pre_norm: LayerNorm,
    qkv: Linear,
    proj: Linear,
    linear1: Linear,
    norm1: LayerNorm,
    linear2: Linear,
    heads: usize,
    scale: f32,
    dropout: Dropout,
    drop_path: DropPath,
}

impl Block {
    fn new(variant: CctVariant, drop_rate: f32, drop_path: f32, b: &Builder) -> Result<Self> {
        let CctVariant { width, heads, mlp_ratio, .. } = variant;
        let hidden = (width as f32 * mlp_ratio) as usize;
        let attn = b.pp("self_attn");
        Ok(Block {
            pre_norm: LayerNorm::new(width, EPS, &b.pp("pre_norm"))?,
            qkv: Linear::new(width, 3 * width, false, TRUNCATED, &attn.pp("qkv"))?,
            proj: Linear::new(width, width, true, TRUNCATED, &attn.pp("proj"))?,
            linear1: Linear::new(width, hidden, true, TRUNCATED, &b.pp("linear1"))?,
            norm1: LayerNorm::new(width, EPS, &b.pp("norm1"))?,
            linear2: Linear::new(hidden, width, true, TRUNCATED, &b.pp("linear2"))?,
            heads,
            scale: 1.0 / ((width / heads) as f32).sqrt(),
            dropout: Dropout::new(drop_rate)?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = attention_qkv(&self.qkv.forward(&self.pre_norm.forward(x)?)?, self.heads, self.scale, None)?;
        let x = add(x, &self.drop_path.forward(&self.proj.forward(&y)?, mode)?)?;
        let x = self.norm1.forward(&x)?;
        let y = self.dropout.forward(&activate(&self.linear1.forward(&x)?, Gelu)?, mode)?;
        let y = self.dropout.forward(&self.linear2.forward(&y)?, mode)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}
