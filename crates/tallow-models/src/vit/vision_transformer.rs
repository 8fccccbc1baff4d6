//! Vision Transformer: self-attention over a sequence of image patches.
//!
//! Dosovitskiy et al. 2020, <https://arxiv.org/abs/2010.11929>; training as in Steiner et al. 2021,
//! <https://arxiv.org/abs/2106.10270>. Pre-norm blocks of attention and MLP; the classifier reads the class token.
//! `vit_small_patch14_dinov2` has LayerScale (Oquab et al. 2023, <https://arxiv.org/abs/2304.07193>).
//!
//! Reference: timm's `vit_*`. Weight names are timm's: `cls_token`, `pos_embed`, `patch_embed.proj`, `blocks.0.norm1`,
//! `blocks.0.attn.qkv`, …, `norm`, `head`. Initial values are timm's. `drop_rate` is the dropout before the
//! classifier; drop path grows linearly from block to block.
//!
//! `vit_tiny_patch4_32` is ViT-Tiny with patches of 4 pixels, for images of 28 to 64 pixels. timm builds it with
//! `create_model("vit_tiny_patch16_224", img_size=32, patch_size=4)`. The keys `patch_size`, `width`, `depth`,
//! `num_heads` and `mlp_ratio` give other networks; `width` without `num_heads` means one head for every 64 channels,
//! as in the papers' models.
//!
//! Deviation from timm: the input size is fixed when the model is built. [`crate::resample_pos_embed`] adapts weights
//! to another size.

use candle_core::Tensor;
use tallow_nn::layers::{Dropout, LayerNorm, Linear, checkpoint};
use tallow_nn::op::{Activation, add_positions, concat_tokens, narrow, select_token, tokens};
use tallow_nn::{Builder, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::hybrid::backbone::{Backbone, Convolutions};
use crate::layers::block::{Block, BlockSpec};
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::{TRUNCATED, drop_path_rate, mean_of_heads};
use crate::model::Model;
use crate::preset::Preset;

const EPS: f32 = 1e-6;

/// A variant of Vision Transformer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VitVariant {
    /// The side of a patch, in pixels.
    pub(crate) patch: usize,
    /// Channels of a token.
    pub(crate) width: usize,
    pub(crate) heads: usize,
    /// The number of blocks.
    pub(crate) depth: usize,
    /// Hidden channels of an MLP, as a multiple of the width.
    pub(crate) mlp_ratio: f32,
    /// The initial value of LayerScale, if there is one.
    pub(crate) layer_scale: Option<f32>,
    /// Whether the class token has a position embedding.
    pub(crate) embed_class: bool,
    /// Whether there is a distillation token with a classifier of its own.
    pub(crate) distilled: bool,
    /// The backbone whose features are cut into patches.
    pub(crate) backbone: Backbone,
}

impl VitVariant {
    /// A plain ViT.
    pub(crate) const fn plain(patch: usize, width: usize, heads: usize) -> VitVariant {
        VitVariant {
            patch,
            width,
            heads,
            depth: 12,
            mlp_ratio: 4.0,
            layer_scale: None,
            embed_class: true,
            distilled: false,
            backbone: Backbone::None,
        }
    }

    /// This variant with the overrides of the config.
    ///
    /// # Errors
    /// Heads that do not divide the width.
    fn with(self, preset: &Preset, config: &ModelConfig) -> crate::Result<VitVariant> {
        let width = config.width.unwrap_or(self.width);
        let heads = match (config.num_heads, config.width) {
            (Some(heads), _) => heads,
            (None, Some(width)) => (width / 64).max(1),
            (None, None) => self.heads,
        };
        if !width.is_multiple_of(heads) {
            return Err(preset.bad_value("num_heads", format!("a divisor of the width, {width},"), heads));
        }
        Ok(VitVariant {
            patch: config.patch_size.unwrap_or(self.patch),
            width,
            heads,
            depth: config.depth.unwrap_or(self.depth),
            mlp_ratio: config.mlp_ratio.unwrap_or(self.mlp_ratio),
            ..self
        })
    }

    /// The number of channels of the features.
    fn num_features(self, config: &ModelConfig) -> usize {
        config.width.unwrap_or(self.width)
    }

    fn block(self, drop_path: f32, lora_rank: usize) -> BlockSpec {
        BlockSpec {
            dim: self.width,
            heads: self.heads,
            hidden: (self.width as f32 * self.mlp_ratio) as usize,
            activation: Activation::Gelu,
            eps: EPS,
            layer_scale: self.layer_scale,
            drop_path,
            lora_rank,
        }
    }

    /// The number of class and distillation tokens.
    fn prefix(self) -> usize {
        1 + usize::from(self.distilled)
    }
}

pub(crate) const KEYS: &[Key] = &[
    Key::DropRate,
    Key::DropPathRate,
    Key::Width,
    Key::Depth,
    Key::NumHeads,
    Key::MlpRatio,
    Key::PatchSize,
    Key::LoraRank,
    Key::CheckpointActivations,
];

const VARIANTS: &[(Preset, VitVariant)] = &[
    (preset("vit_tiny_patch4_32", 32, 4), VitVariant::plain(4, 192, 3)),
    (preset("vit_tiny_patch16_224", 224, 16), VitVariant::plain(16, 192, 3)),
    (preset("vit_tiny_patch16_384", 384, 16), VitVariant::plain(16, 192, 3)),
    (preset("vit_small_patch32_224", 224, 32), VitVariant::plain(32, 384, 6)),
    (preset("vit_small_patch16_224", 224, 16), VitVariant::plain(16, 384, 6)),
    (preset("vit_small_patch16_384", 384, 16), VitVariant::plain(16, 384, 6)),
    (preset("vit_base_patch16_224", 224, 16), VitVariant::plain(16, 768, 12)),
    (preset("vit_base_patch16_384", 384, 16), VitVariant::plain(16, 768, 12)),
    (
        Preset {
            mean: &[0.485, 0.456, 0.406],
            std: &[0.229, 0.224, 0.225],
            ..preset("vit_small_patch14_dinov2", 518, 14)
        },
        VitVariant { layer_scale: Some(1e-5), ..VitVariant::plain(14, 384, 6) },
    ),
];

/// The preprocessing of timm's default weights, `augreg_in21k_ft_in1k`.
const fn preset(name: &'static str, size: usize, patch: usize) -> Preset {
    Preset {
        keys: KEYS,
        input_size: (size, size),
        min_input_size: patch,
        size_multiple: patch,
        fixed_input_size: true,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        crop_pct: if size == 224 { 0.9 } else { 1.0 },
        interpolation: "bicubic",
        global_pool: "token",
        first_conv: "patch_embed.proj",
        classifier: "head",
        ..Preset::imagenet(name, "vit/vision_transformer")
    }
}

pub(crate) static FAMILY: FamilyTable<VitVariant> = family(VARIANTS);

/// A family of Vision Transformers, defined by its variants.
pub(crate) const fn family(variants: &'static [(Preset, VitVariant)]) -> FamilyTable<VitVariant> {
    FamilyTable {
        variants,
        build: |variant, preset, config, b| boxed(Vit::new(variant.with(preset, config)?, config, b)),
        num_features: |variant, config| variant.num_features(config),
    }
}

struct Vit {
    variant: VitVariant,
    cls_token: Tensor,
    pos_embed: Tensor,
    dist_token: Option<Tensor>,
    backbone: Convolutions,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    /// Whether the backward pass recomputes the activations inside blocks.
    checkpoint: bool,
    norm: LayerNorm,
    dropout: Dropout,
    head: Linear,
    head_dist: Option<Linear>,
}

impl Vit {
    fn new(variant: VitVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let VitVariant { patch, width, depth, distilled, .. } = variant;
        let (h, w) = config.input_size;
        let stride = patch * variant.backbone.stride();
        let embedded = (h / stride) * (w / stride) + if variant.embed_class { variant.prefix() } else { 0 };
        let token = |name: &str, init| b.param(name, &[1, 1, width], init);
        let head = |name: &str| Linear::new(width, config.num_classes, true, TRUNCATED, &b.pp(name));
        let embed = b.pp("patch_embed");
        Ok(Vit {
            variant,
            cls_token: token("cls_token", Init::Normal(1e-6))?,
            pos_embed: b.param("pos_embed", &[1, embedded, width], TRUNCATED)?,
            dist_token: distilled.then(|| token("dist_token", TRUNCATED)).transpose()?,
            backbone: variant.backbone.build(config.in_chans, &embed.pp("backbone"))?,
            patch_embed: PatchEmbed::new(variant.backbone.channels(config.in_chans), width, patch, &embed)?,
            blocks: (0..depth)
                .map(|i| {
                    let drop_path = drop_path_rate(config.drop_path_rate, i, depth);
                    Block::new(variant.block(drop_path, config.lora_rank.unwrap_or(0)), &b.pp("blocks").pp(i))
                })
                .collect::<Result<_>>()?,
            checkpoint: config.checkpoint_activations,
            norm: LayerNorm::new(width, EPS, &b.pp("norm"))?,
            dropout: Dropout::new(config.drop_rate)?,
            head: head("head")?,
            head_dist: distilled.then(|| head("head_dist")).transpose()?,
        })
    }

    /// Prepends the class and distillation tokens and adds the position embeddings.
    fn embed(&self, patches: &Tensor) -> Result<Tensor> {
        let (_, l, _) = patches.dims3()?;
        let expected = self.pos_embed.dims()[1] - if self.variant.embed_class { self.variant.prefix() } else { 0 };
        if l != expected {
            let found = format!("{l} patches");
            return Err(tallow_nn::Error::input("vit", format!("the {expected} patches it was built for"), found));
        }
        let with_tokens = |x: &Tensor| {
            let sequences = [Some(&self.cls_token), self.dist_token.as_ref(), Some(x)];
            concat_tokens(&sequences.into_iter().flatten().collect::<Vec<_>>())
        };
        if self.variant.embed_class {
            add_positions(&with_tokens(patches)?, &self.pos_embed)
        } else {
            with_tokens(&add_positions(patches, &self.pos_embed)?)
        }
    }
}

impl Model for Vit {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.backbone.forward(images, mode)?;
        let mut x = self.embed(&tokens(&self.patch_embed.forward(&x)?)?)?;
        for block in &self.blocks {
            x = if self.checkpoint { checkpoint(block, &x, mode, Block::forward)? } else { block.forward(&x, mode)? };
        }
        self.norm.forward(&x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        narrow(features, 1, 0, self.variant.prefix())
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        mean_of_heads(self.forward_heads(features, mode)?)
    }

    fn forward_heads(&self, features: &Tensor, mode: &Mode) -> Result<(Tensor, Option<Tensor>)> {
        let classify =
            |head: &Linear, token: usize| head.forward(&self.dropout.forward(&select_token(features, token)?, mode)?);
        let logits = classify(&self.head, 0)?;
        Ok((logits, self.head_dist.as_ref().map(|head| classify(head, 1)).transpose()?))
    }
}
