//! ConViT: attention with a learned gate between content and position, which can act as a convolution.
//!
//! d'Ascoli et al. 2021, <https://arxiv.org/abs/2103.10697>. In all blocks but the last two, each head mixes attention
//! by content with attention by position (gated positional self-attention). The class token enters before the last two
//! blocks.
//!
//! Reference: timm's `convit_*`. Weight names are timm's: `cls_token`, `pos_embed`, `blocks.0.attn.gating_param`,
//! `.qk`, `.v`, `.proj`, `.pos_proj`, `norm`, `head`. timm divides the mixed weights by their sum, which is 1; here
//! they are not divided. The input size is fixed when the model is built and need not be square. Drop path grows
//! linearly from block to block.
//!
//! Deviation from timm: the value and position projections start at random instead of as a convolution.

use candle_core::{Device, Tensor};
use tallow_nn::layers::{DropPath, Dropout, LayerNorm, Linear};
use tallow_nn::op::Activation::{self, Sigmoid};
use tallow_nn::op::{activate, add_positions, attention, concat_tokens, narrow, scale_last, select_token, tokens};
use tallow_nn::{Builder, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::attention::Attention;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::{TRUNCATED, add, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

const PATCH: usize = 16;
const DEPTH: usize = 12;
/// The number of blocks with gated positional attention.
const GATED: usize = 10;
const EPS: f32 = 1e-6;

/// A variant of ConViT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ConVitVariant {
    /// Channels of a token.
    width: usize,
    heads: usize,
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, ConVitVariant)] = &[
    (preset("convit_tiny"), ConVitVariant { width: 192, heads: 4 }),
    (preset("convit_small"), ConVitVariant { width: 432, heads: 9 }),
];

/// The preprocessing of timm's default weights, `fb_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: PATCH,
        size_multiple: PATCH,
        fixed_input_size: true,
        interpolation: "bicubic",
        global_pool: "token",
        first_conv: "patch_embed.proj",
        classifier: "head",
        ..Preset::imagenet(name, "vit/convit")
    }
}

pub(crate) static FAMILY: FamilyTable<ConVitVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(ConVit::new(variant, config, b)),
    num_features: |variant, _| variant.width,
};

struct ConVit {
    cls_token: Tensor,
    pos_embed: Tensor,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    norm: LayerNorm,
    dropout: Dropout,
    head: Linear,
}

impl ConVit {
    fn new(variant: ConVitVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let ConVitVariant { width, heads } = variant;
        let grid = (config.input_size.0 / PATCH, config.input_size.1 / PATCH);
        let cls_token = b.param("cls_token", &[1, 1, width], TRUNCATED)?;
        let pos_embed = b.param("pos_embed", &[1, grid.0 * grid.1, width], TRUNCATED)?;
        let offsets = offsets(grid, b.device())?;
        let blocks = (0..DEPTH).map(|i| {
            let b = b.pp("blocks").pp(i);
            let norm1 = LayerNorm::new(width, EPS, &b.pp("norm1"))?;
            let attn = if i < GATED {
                Mixer::Gated(GatedAttention::new(width, heads, offsets.clone(), &b.pp("attn"))?)
            } else {
                Mixer::Plain(Attention::new(width, heads, false, 0, &b.pp("attn"))?)
            };
            Ok(Block {
                norm1,
                attn,
                norm2: LayerNorm::new(width, EPS, &b.pp("norm2"))?,
                mlp: Mlp::new(width, 4 * width, Activation::Gelu, 0.0, &b.pp("mlp"))?,
                drop_path: DropPath::new(drop_path_rate(config.drop_path_rate, i, DEPTH))?,
            })
        });
        Ok(ConVit {
            cls_token,
            pos_embed,
            patch_embed: PatchEmbed::new(config.in_chans, width, PATCH, &b.pp("patch_embed"))?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            head: Linear::new(width, config.num_classes, true, TRUNCATED, &b.pp("head"))?,
        })
    }
}

impl Model for ConVit {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = add_positions(&tokens(&self.patch_embed.forward(images)?)?, &self.pos_embed)?;
        for (i, block) in self.blocks.iter().enumerate() {
            if i == GATED {
                x = concat_tokens(&[&self.cls_token, &x])?;
            }
            x = block.forward(&x, mode)?;
        }
        self.norm.forward(&x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        narrow(features, 1, 0, 1)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.head.forward(&self.dropout.forward(&select_token(features, 0)?, mode)?)
    }
}

struct Block {
    norm1: LayerNorm,
    attn: Mixer,
    norm2: LayerNorm,
    mlp: Mlp,
    drop_path: DropPath,
}

enum Mixer {
    Gated(GatedAttention),
    Plain(Attention),
}

impl Block {
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.norm1.forward(x)?;
        let y = match &self.attn {
            Mixer::Gated(attn) => attn.forward(&y)?,
            Mixer::Plain(attn) => attn.forward(&y, None)?,
        };
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = self.mlp.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}

/// `(1 − σ(gate)) · softmax(q·k) · v + σ(gate) · softmax(position) · v`, head by head.
struct GatedAttention {
    gating_param: Tensor,
    qk: Linear,
    v: Linear,
    proj: Linear,
    pos_proj: Linear,
    /// `[tokens, tokens, 3]`.
    offsets: Tensor,
    heads: usize,
}

impl GatedAttention {
    fn new(dim: usize, heads: usize, offsets: Tensor, b: &Builder) -> Result<Self> {
        Ok(GatedAttention {
            gating_param: b.param("gating_param", &[heads], Init::ONES)?,
            qk: Linear::new(dim, 2 * dim, false, TRUNCATED, &b.pp("qk"))?,
            v: Linear::new(dim, dim, false, TRUNCATED, &b.pp("v"))?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &b.pp("proj"))?,
            pos_proj: Linear::new(3, heads, true, TRUNCATED, &b.pp("pos_proj"))?,
            offsets,
            heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, c) = x.dims3()?;
        let (qk, v) = (self.qk.forward(x)?, self.v.forward(x)?);
        let (q, k) = (narrow(&qk, 2, 0, c)?, narrow(&qk, 2, c, c)?);
        let scale = 1.0 / ((c / self.heads) as f32).sqrt();
        let by_content = attention(&q, &k, &v, self.heads, scale, None)?;
        // Scores by position alone: the scale of zero removes the content.
        let scores = self.pos_proj.forward(&self.offsets)?.permute((2, 0, 1))?;
        let by_position = attention(&q, &k, &v, self.heads, 0.0, Some(&scores))?;
        let gate = activate(&self.gating_param, Sigmoid)?;
        let each = |gate: &Tensor| gate.unsqueeze(1)?.broadcast_as((self.heads, c / self.heads))?.flatten_all();
        let by_content = scale_last(&by_content, &each(&gate.affine(-1.0, 1.0)?)?)?;
        self.proj.forward(&add(&by_content, &scale_last(&by_position, &each(&gate)?)?)?)
    }
}

/// For each pair of patches the offset to the right, the offset down, and the squared distance.
fn offsets((h, w): (usize, usize), device: &Device) -> Result<Tensor> {
    let place = |i: usize| ((i / w) as f32, (i % w) as f32);
    let values: Vec<f32> = (0..h * w)
        .flat_map(|i| (0..h * w).map(move |j| (i, j)))
        .flat_map(|(i, j)| {
            let (dy, dx) = (place(j).0 - place(i).0, place(j).1 - place(i).1);
            [dx, dy, dx * dx + dy * dy]
        })
        .collect();
    Ok(Tensor::from_vec(values, (h * w, h * w, 3), device)?)
}
