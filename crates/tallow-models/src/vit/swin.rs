//! Swin Transformer: self-attention within windows, which are shifted in every other block.
//!
//! Liu et al. 2021, <https://arxiv.org/abs/2103.14030>. Four stages; between them 2×2 patches merge into one of twice
//! the channels. The shift wraps around the image's edge, so a mask keeps tokens that are not neighbours from
//! attending to each other.
//!
//! Reference: timm's `swin_*_patch4_window7_224`. Weight names are timm's:
//! `layers.0.blocks.0.attn.relative_position_bias_table`, …, `layers.1.downsample.reduction`, `norm`, `head.fc`.
//! Initial values are timm's. The input size is fixed when the model is built; a feature map smaller than a window
//! gets a smaller bias table, as in timm. Drop path grows linearly from block to block.

use candle_core::{Device, Tensor};
use tallow_nn::layers::{DropPath, LayerNorm, Linear, checkpoint};
use tallow_nn::op::{Activation, attention_qkv, image, narrow, permute, reshape, tokens};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::head::ClassifierHead;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::rel_pos::RelPosBias;
use crate::layers::windows::{pad, partition, reverse, roll};
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

const PATCH: usize = 4;
const WINDOW: usize = 7;
const EPS: f32 = 1e-5;

/// A variant of Swin Transformer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SwinVariant {
    /// Channels of the first stage; each stage has twice as many as the one before.
    width: usize,
    /// Blocks of each stage.
    depths: [usize; 4],
    /// Heads of the first stage; each stage has twice as many as the one before.
    heads: usize,
}

impl SwinVariant {
    /// The number of channels of the features.
    fn num_features(self) -> usize {
        8 * self.width
    }
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::CheckpointActivations];

const VARIANTS: &[(Preset, SwinVariant)] = &[
    (preset("swin_tiny_patch4_window7_224"), SwinVariant { width: 96, depths: [2, 2, 6, 2], heads: 3 }),
    (preset("swin_small_patch4_window7_224"), SwinVariant { width: 96, depths: [2, 2, 18, 2], heads: 3 }),
    (preset("swin_base_patch4_window7_224"), SwinVariant { width: 128, depths: [2, 2, 18, 2], heads: 4 }),
];

/// The preprocessing of timm's default weights.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: PATCH,
        size_multiple: PATCH,
        fixed_input_size: true,
        crop_pct: 0.9,
        interpolation: "bicubic",
        first_conv: "patch_embed.proj",
        classifier: "head.fc",
        ..Preset::imagenet(name, "vit/swin")
    }
}

pub(crate) static FAMILY: FamilyTable<SwinVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(Swin::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct Swin {
    patch_embed: PatchEmbed,
    patch_norm: LayerNorm,
    layers: Vec<Stage>,
    /// Whether the backward pass recomputes the activations inside blocks.
    checkpoint: bool,
    norm: LayerNorm,
    classifier: ClassifierHead,
}

impl Swin {
    fn new(variant: SwinVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let SwinVariant { width, depths, heads } = variant;
        let total: usize = depths.iter().sum();
        let embed = b.pp("patch_embed");
        let mut size = (config.input_size.0 / PATCH, config.input_size.1 / PATCH);
        let mut before = 0;
        Ok(Swin {
            patch_embed: PatchEmbed::new(config.in_chans, width, PATCH, &embed)?,
            patch_norm: LayerNorm::new(width, EPS, &embed.pp("norm"))?,
            layers: (0..4)
                .map(|i| {
                    let b = b.pp("layers").pp(i);
                    let dim = width << i;
                    let merge = (i > 0).then(|| PatchMerging::new(dim / 2, &b.pp("downsample"))).transpose()?;
                    if i > 0 {
                        size = (size.0.div_ceil(2), size.1.div_ceil(2));
                    }
                    let blocks = (0..depths[i]).map(|j| {
                        let drop_path = drop_path_rate(config.drop_path_rate, before + j, total);
                        Block::new(dim, heads << i, size, j % 2 == 1, drop_path, &b.pp("blocks").pp(j))
                    });
                    let blocks = blocks.collect::<Result<_>>()?;
                    before += depths[i];
                    Ok(Stage { merge, blocks })
                })
                .collect::<Result<_>>()?,
            checkpoint: config.checkpoint_activations,
            norm: LayerNorm::new(8 * width, EPS, &b.pp("norm"))?,
            classifier: ClassifierHead::new(
                Linear::new(8 * width, config.num_classes, true, TRUNCATED, &b.pp("head").pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for Swin {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.patch_embed.forward(images)?;
        let mut size = (x.dims()[2], x.dims()[3]);
        let mut x = self.patch_norm.forward(&tokens(&x)?)?;
        for Stage { merge, blocks } in &self.layers {
            if let Some(merge) = merge {
                x = merge.forward(&x, size)?;
                size = (size.0.div_ceil(2), size.1.div_ceil(2));
            }
            for block in blocks {
                x = if self.checkpoint {
                    checkpoint(block, &x, mode, Block::forward)?
                } else {
                    block.forward(&x, mode)?
                };
            }
        }
        image(&self.norm.forward(&x)?, size)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

struct Stage {
    merge: Option<PatchMerging>,
    blocks: Vec<Block>,
}

/// Concatenates the channels of 2×2 pixels and maps them to twice the channels of one pixel.
struct PatchMerging {
    norm: LayerNorm,
    reduction: Linear,
}

impl PatchMerging {
    fn new(dim: usize, b: &Builder) -> Result<Self> {
        Ok(PatchMerging {
            norm: LayerNorm::new(4 * dim, EPS, &b.pp("norm"))?,
            reduction: Linear::new(4 * dim, 2 * dim, false, TRUNCATED, &b.pp("reduction"))?,
        })
    }

    /// `[n, h · w, c]` → `[n, ⌈h / 2⌉ · ⌈w / 2⌉, 2c]`.
    fn forward(&self, x: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
        let (n, _, c) = x.dims3()?;
        let x = pad(&reshape(x, (n, h, w, c))?, (2, 2))?;
        let (n, h, w, c) = x.dims4()?;
        // timm's order: down first, then right.
        let x = permute(&reshape(&x, vec![n, h / 2, 2, w / 2, 2, c])?, vec![0, 1, 3, 4, 2, 5])?;
        self.reduction.forward(&self.norm.forward(&reshape(&x, (n, (h / 2) * (w / 2), 4 * c))?)?)
    }
}

/// Windowed attention and MLP over the tokens `[n, h · w, c]` of a map.
#[derive(Clone)]
struct Block {
    norm1: LayerNorm,
    attn: WindowAttention,
    norm2: LayerNorm,
    mlp: Mlp,
    drop_path: DropPath,
}

impl Block {
    fn new(dim: usize, heads: usize, size: (usize, usize), shifted: bool, drop_path: f32, b: &Builder) -> Result<Self> {
        Ok(Block {
            norm1: LayerNorm::new(dim, EPS, &b.pp("norm1"))?,
            attn: WindowAttention::new(dim, heads, size, shifted, &b.pp("attn"))?,
            norm2: LayerNorm::new(dim, EPS, &b.pp("norm2"))?,
            mlp: Mlp::new(dim, 4 * dim, Activation::Gelu, 0.0, &b.pp("mlp"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.attn.forward(&self.norm1.forward(x)?)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = self.mlp.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}

#[derive(Clone)]
struct WindowAttention {
    bias: RelPosBias,
    qkv: Linear,
    proj: Linear,
    heads: usize,
    scale: f32,
    /// Height and width of the map.
    size: (usize, usize),
    window: (usize, usize),
    shift: (usize, usize),
    /// `[windows, 1, tokens, tokens]`: −100 between tokens of a window that are not neighbours in the map.
    mask: Option<Tensor>,
}

impl WindowAttention {
    fn new(dim: usize, heads: usize, size: (usize, usize), shifted: bool, b: &Builder) -> Result<Self> {
        let window = (WINDOW.min(size.0), WINDOW.min(size.1));
        // A window as large as the map is not shifted.
        let shift = |size: usize, window: usize| if shifted && size > window { WINDOW / 2 } else { 0 };
        let shift = (shift(size.0, window.0), shift(size.1, window.1));
        Ok(WindowAttention {
            bias: RelPosBias::new(window, heads, b)?,
            qkv: Linear::new(dim, 3 * dim, true, TRUNCATED, &b.pp("qkv"))?,
            proj: Linear::new(dim, dim, true, TRUNCATED, &b.pp("proj"))?,
            heads,
            scale: 1.0 / ((dim / heads) as f32).sqrt(),
            size,
            window,
            shift,
            mask: (shift != (0, 0)).then(|| mask(size, window, shift, b.device())).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (h, w) = self.size;
        let (n, _, c) = x.dims3()?;
        let x = pad(&roll(&reshape(x, (n, h, w, c))?, self.shift)?, self.window)?;
        let padded = (x.dims()[1], x.dims()[2]);
        let mut bias = self.bias.forward()?;
        if let Some(mask) = &self.mask {
            bias = bias.unsqueeze(0)?.broadcast_add(mask)?;
        }
        let qkv = self.qkv.forward(&partition(&x, self.window)?)?;
        let x = self.proj.forward(&attention_qkv(&qkv, self.heads, self.scale, Some(&bias))?)?;
        let x = narrow(&narrow(&reverse(&x, self.window, padded)?, 1, 0, h)?, 2, 0, w)?;
        let back = ((h - self.shift.0) % h, (w - self.shift.1) % w);
        reshape(&roll(&x, back)?, (n, h * w, c))
    }
}

/// The mask of a shifted, padded map: −100 between tokens of a window that come from different regions.
fn mask(size: (usize, usize), window: (usize, usize), shift: (usize, usize), device: &Device) -> Result<Tensor> {
    let (h, w) = (size.0.next_multiple_of(window.0), size.1.next_multiple_of(window.1));
    let region = |at: usize, len: usize, window: usize, shift: usize| match shift {
        0 => 0,
        _ if at < len - window => 0,
        _ if at < len - shift => 1,
        _ => 2,
    };
    let regions = (0..h * w)
        .map(|i| (3 * region(i / w, h, window.0, shift.0) + region(i % w, w, window.1, shift.1)) as f32)
        .collect::<Vec<_>>();
    let regions = partition(&Tensor::from_vec(regions, (1, h, w, 1), &Device::Cpu)?, window)?;
    let (windows, tokens, _) = regions.dims3()?;
    let regions = regions.flatten_all()?.to_vec1::<f32>()?;
    let of = |window: usize, token: usize| regions[window * tokens + token];
    let values = (0..windows * tokens * tokens).map(|i| {
        let (window, pair) = (i / (tokens * tokens), i % (tokens * tokens));
        if of(window, pair / tokens) == of(window, pair % tokens) { 0f32 } else { -100.0 }
    });
    Ok(Tensor::from_iter(values, device)?.reshape((windows, 1, tokens, tokens))?)
}
