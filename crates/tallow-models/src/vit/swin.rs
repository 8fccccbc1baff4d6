//! Swin Transformer: attention within windows, shifted in every other block.
//!
//! Liu et al. 2021, <https://arxiv.org/abs/2103.14030>. Four stages; between them 2×2 patches merge
//! into one of twice the channels. A window that the shift wraps around the image's edge holds parts
//! that are no neighbours: a mask keeps them apart.
//!
//! Reference: timm's `swin_*_patch4_window7_224`. Weight names are its own:
//! `layers.0.blocks.0.attn.relative_position_bias_table`, …, `layers.1.downsample.reduction`, `norm`,
//! `head.fc`. Initial values too. The size is fixed when the model is built: a map smaller than a
//! window gets a smaller table, as in timm. Drop path grows linearly from block to block.

use candle_core::{Device, Tensor};
use tallow_nn::layers::{DropPath, Dropout, LayerNorm, Linear, checkpoint};
use tallow_nn::op::{Activation, attention_qkv, global_avg_pool, image, narrow, permute, reshape, tokens};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::rel_pos::RelPosBias;
use crate::layers::windows::{pad, partition, reverse, roll};
use crate::layers::{TRUNCATED, add, average_map, drop_path_rate};
use crate::model::Model;
use crate::registry::{Arch, Preset};

const PATCH: usize = 4;
const WINDOW: usize = 7;
const EPS: f32 = 1e-5;

/// What tells one Swin Transformer from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Channels of the first stage; each next has twice as many.
    width: usize,
    /// Blocks of each stage.
    depths: [usize; 4],
    /// Heads of the first stage; each next has twice as many.
    heads: usize,
}

impl Layout {
    /// Channels that the classifier sees.
    pub(crate) fn num_features(self) -> usize {
        8 * self.width
    }
}

pub(crate) const PRESETS: &[Preset] = &[
    preset("swin_tiny_patch4_window7_224", 96, [2, 2, 6, 2], 3),
    preset("swin_small_patch4_window7_224", 96, [2, 2, 18, 2], 3),
    preset("swin_base_patch4_window7_224", 128, [2, 2, 18, 2], 4),
];

/// Preprocessing is that of timm's default weights.
const fn preset(name: &'static str, width: usize, depths: [usize; 4], heads: usize) -> Preset {
    Preset {
        keys: &[Key::DropRate, Key::DropPathRate, Key::CheckpointActivations],
        min_input_size: PATCH,
        size_multiple: PATCH,
        crop_pct: 0.9,
        interpolation: "bicubic",
        first_conv: "patch_embed.proj",
        classifier: "head.fc",
        ..Preset::imagenet(name, "vit/swin", Arch::Swin(Layout { width, depths, heads }))
    }
}

pub(crate) struct Swin {
    patch_embed: PatchEmbed,
    patch_norm: LayerNorm,
    layers: Vec<Stage>,
    /// Whether a block's activations are computed again instead of kept.
    checkpoint: bool,
    norm: LayerNorm,
    dropout: Dropout,
    fc: Linear,
}

impl Swin {
    pub(crate) fn new(layout: Layout, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let Layout { width, depths, heads } = layout;
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
            dropout: Dropout::new(config.drop_rate)?,
            fc: Linear::new(8 * width, config.num_classes, true, TRUNCATED, &b.pp("head").pp("fc"))?,
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
        self.fc.forward(&self.dropout.forward(&global_avg_pool(features)?, mode)?)
    }
}

struct Stage {
    merge: Option<PatchMerging>,
    blocks: Vec<Block>,
}

/// Four neighbours' channels, one after the other, mapped to twice those of one.
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
        // Down within the 2×2 first, then right: timm's order.
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
    /// Of the map.
    size: (usize, usize),
    window: (usize, usize),
    shift: (usize, usize),
    /// `[windows, 1, tokens, tokens]`: −100 between tokens that the shift has brought together.
    mask: Option<Tensor>,
}

impl WindowAttention {
    fn new(dim: usize, heads: usize, size: (usize, usize), shifted: bool, b: &Builder) -> Result<Self> {
        let window = (WINDOW.min(size.0), WINDOW.min(size.1));
        // A window as large as the map has nothing to shift to.
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
            mask: (shift != (0, 0)).then(|| mask(size, window, shift)).transpose()?,
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

/// Which tokens of a shifted, padded map were no neighbours before the shift.
fn mask(size: (usize, usize), window: (usize, usize), shift: (usize, usize)) -> Result<Tensor> {
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
    Ok(Tensor::from_iter(values, &Device::Cpu)?.reshape((windows, 1, tokens, tokens))?)
}
