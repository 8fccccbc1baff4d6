//! CaiT: a deep Vision Transformer whose class token enters in the last two blocks.
//!
//! Touvron et al. 2021, <https://arxiv.org/abs/2103.17239>. Residual branches have LayerScale. Heads mix their scores
//! before and after the softmax (talking heads, Shazeer et al. 2020, <https://arxiv.org/abs/2003.02436>). In the last
//! two blocks only the class token is a query.
//!
//! Reference: timm's `cait_*`. Weight names are timm's: `cls_token`, `pos_embed`, `blocks.0.gamma_1`,
//! `blocks.0.attn.proj_l`, `blocks_token_only.0.attn.q`, `norm`, `head`. Initial values are timm's. The input size is
//! fixed when the model is built. Drop path has the same rate in every block; the last two blocks have none.

use candle_core::Tensor;
use tallow_nn::layers::{DropPath, Dropout, LayerNorm, Linear};
use tallow_nn::op::{
    self, Activation, add_positions, attention, concat_tokens, expand, matmul, narrow, permute, reshape, select_token,
    softmax, tokens, transpose,
};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::layer_scale::LayerScale;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::{TRUNCATED, add};
use crate::model::Model;
use crate::preset::Preset;

const PATCH: usize = 16;
const EPS: f32 = 1e-6;
const SCALE_INIT: f32 = 1e-5;

/// A variant of CaiT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CaitVariant {
    /// Channels of a token.
    width: usize,
    /// The number of blocks before the class token enters.
    depth: usize,
    heads: usize,
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, CaitVariant)] = &[
    (preset("cait_xxs24_224"), CaitVariant { width: 192, depth: 24, heads: 4 }),
    (preset("cait_xxs36_224"), CaitVariant { width: 192, depth: 36, heads: 4 }),
];

/// The preprocessing of timm's default weights, `fb_dist_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: PATCH,
        size_multiple: PATCH,
        fixed_input_size: true,
        crop_pct: 1.0,
        interpolation: "bicubic",
        global_pool: "token",
        first_conv: "patch_embed.proj",
        classifier: "head",
        ..Preset::imagenet(name, "vit/cait")
    }
}

pub(crate) static FAMILY: FamilyTable<CaitVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(Cait::new(variant, config, b)),
    num_features: |variant, _| variant.width,
};

struct Cait {
    cls_token: Tensor,
    pos_embed: Tensor,
    patch_embed: PatchEmbed,
    blocks: Vec<Block<TalkingHeads>>,
    blocks_token_only: Vec<Block<ClassAttention>>,
    norm: LayerNorm,
    dropout: Dropout,
    head: Linear,
}

impl Cait {
    fn new(variant: CaitVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let CaitVariant { width, depth, heads } = variant;
        let patches = (config.input_size.0 / PATCH) * (config.input_size.1 / PATCH);
        let talking = |b: &Builder| TalkingHeads::new(width, heads, b);
        let class = |b: &Builder| ClassAttention::new(width, heads, b);
        Ok(Cait {
            cls_token: b.param("cls_token", &[1, 1, width], TRUNCATED)?,
            pos_embed: b.param("pos_embed", &[1, patches, width], TRUNCATED)?,
            patch_embed: PatchEmbed::new(config.in_chans, width, PATCH, &b.pp("patch_embed"))?,
            blocks: (0..depth)
                .map(|i| Block::new(width, config.drop_path_rate, talking, &b.pp("blocks").pp(i)))
                .collect::<Result<_>>()?,
            blocks_token_only: (0..2)
                .map(|i| Block::new(width, 0.0, class, &b.pp("blocks_token_only").pp(i)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            head: Linear::new(width, config.num_classes, true, TRUNCATED, &b.pp("head"))?,
        })
    }
}

impl Model for Cait {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = add_positions(&tokens(&self.patch_embed.forward(images)?)?, &self.pos_embed)?;
        for block in &self.blocks {
            let y = block.attn.forward(&block.norm1.forward(&x)?)?;
            x = block.rest(&x, &y, mode)?;
        }
        let (n, _, c) = x.dims3()?;
        let mut class = expand(&self.cls_token, (n, 1, c))?;
        for block in &self.blocks_token_only {
            let all = concat_tokens(&[&class, &x])?;
            let y = block.attn.forward(&block.norm1.forward(&all)?)?;
            class = block.rest(&class, &y, mode)?;
        }
        self.norm.forward(&concat_tokens(&[&class, &x])?)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        narrow(features, 1, 0, 1)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.head.forward(&self.dropout.forward(&select_token(features, 0)?, mode)?)
    }
}

struct Block<A> {
    gamma_1: LayerScale,
    gamma_2: LayerScale,
    norm1: LayerNorm,
    attn: A,
    norm2: LayerNorm,
    mlp: Mlp,
    drop_path: DropPath,
}

impl<A> Block<A> {
    fn new(dim: usize, drop_path: f32, attn: impl Fn(&Builder) -> Result<A>, b: &Builder) -> Result<Self> {
        Ok(Block {
            gamma_1: LayerScale::named("gamma_1", dim, SCALE_INIT, b)?,
            gamma_2: LayerScale::named("gamma_2", dim, SCALE_INIT, b)?,
            norm1: LayerNorm::new(dim, EPS, &b.pp("norm1"))?,
            attn: attn(&b.pp("attn"))?,
            norm2: LayerNorm::new(dim, EPS, &b.pp("norm2"))?,
            mlp: Mlp::new(dim, 4 * dim, Activation::Gelu, 0.0, &b.pp("mlp"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    /// Adds the output of attention, then the MLP branch.
    fn rest(&self, x: &Tensor, attended: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.gamma_1.forward(attended)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = self.gamma_2.forward(&self.mlp.forward(&self.norm2.forward(&x)?, mode)?)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}

/// Attention whose heads mix their scores before the softmax and their weights after it.
struct TalkingHeads {
    qkv: Linear,
    proj: Linear,
    proj_l: Linear,
    proj_w: Linear,
    heads: usize,
}

impl TalkingHeads {
    fn new(dim: usize, heads: usize, b: &Builder) -> Result<Self> {
        Ok(TalkingHeads {
            qkv: Linear::new(dim, 3 * dim, true, TRUNCATED, &b.pp("qkv"))?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &b.pp("proj"))?,
            proj_l: Linear::new(heads, heads, true, TRUNCATED, &b.pp("proj_l"))?,
            proj_w: Linear::new(heads, heads, true, TRUNCATED, &b.pp("proj_w"))?,
            heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, l, c) = x.dims3()?;
        let each = c / self.heads;
        let qkv = reshape(&self.qkv.forward(x)?, (n, l, 3, self.heads, each))?;
        let part = |i: usize| transpose(&reshape(&narrow(&qkv, 2, i, 1)?, (n, l, self.heads, each))?, 1, 2);
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scores = op::affine(&matmul(&q, &transpose(&k, 2, 3)?)?, 1.0 / (each as f64).sqrt(), 0.0)?;
        let scores = permute(&self.proj_l.forward(&permute(&scores, (0, 2, 3, 1))?)?, (0, 3, 1, 2))?;
        let weights = self.proj_w.forward(&permute(&softmax(&scores)?, (0, 2, 3, 1))?)?;
        let y = matmul(&permute(&weights, (0, 3, 1, 2))?, &v)?;
        self.proj.forward(&reshape(&transpose(&y, 1, 2)?, (n, l, c))?)
    }
}

/// Attention with the first token as the only query.
struct ClassAttention {
    q: Linear,
    k: Linear,
    v: Linear,
    proj: Linear,
    heads: usize,
}

impl ClassAttention {
    fn new(dim: usize, heads: usize, b: &Builder) -> Result<Self> {
        let linear = |name: &str| Linear::new(dim, dim, true, TRUNCATED, &b.pp(name));
        Ok(ClassAttention { q: linear("q")?, k: linear("k")?, v: linear("v")?, proj: linear("proj")?, heads })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let scale = 1.0 / ((x.dims()[2] / self.heads) as f32).sqrt();
        let q = self.q.forward(&narrow(x, 1, 0, 1)?)?;
        let y = attention(&q, &self.k.forward(x)?, &self.v.forward(x)?, self.heads, scale, None)?;
        self.proj.forward(&y)
    }
}
