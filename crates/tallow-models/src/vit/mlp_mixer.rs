//! MLP-Mixer: blocks of an MLP across the patches and an MLP across the channels.
//!
//! Tolstikhin et al. 2021, <https://arxiv.org/abs/2105.01601>.
//!
//! Reference: timm's `mixer_*`. Weight names are timm's: `stem.proj`, `blocks.0.norm1`, `blocks.0.mlp_tokens.fc1`,
//! `blocks.0.mlp_channels.fc1`, `norm`, `head`. The number of patches is the width of a layer, so the input size is
//! fixed when the model is built. Drop path has the same rate in every block.
//!
//! Deviation from timm: linear layers and the classifier start as in timm's Vision Transformers (truncated normal);
//! timm's Mixer uses Xavier and zeros.

use candle_core::Tensor;
use tallow_nn::layers::{DropPath, LayerNorm, Linear};
use tallow_nn::op::{Activation, image, tokens, transpose};
use tallow_nn::{Builder, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::head::ClassifierHead;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::{TRUNCATED, add, average_map};
use crate::model::Model;
use crate::preset::Preset;

const EPS: f32 = 1e-6;

/// A variant of Mixer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MixerVariant {
    patch: usize,
    width: usize,
    depth: usize,
}

impl MixerVariant {
    /// This variant with the overrides of the config.
    fn with(self, config: &ModelConfig) -> MixerVariant {
        MixerVariant {
            patch: config.patch_size.unwrap_or(self.patch),
            width: config.width.unwrap_or(self.width),
            depth: config.depth.unwrap_or(self.depth),
        }
    }

    /// The number of channels of the features.
    fn num_features(self, config: &ModelConfig) -> usize {
        self.with(config).width
    }
}

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate, Key::Width, Key::Depth, Key::PatchSize];

const VARIANTS: &[(Preset, MixerVariant)] = &[
    (preset("mixer_s16_224"), MixerVariant { patch: 16, width: 512, depth: 8 }),
    (preset("mixer_b16_224"), MixerVariant { patch: 16, width: 768, depth: 12 }),
];

/// The preprocessing of timm's default weights.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 16,
        size_multiple: 16,
        fixed_input_size: true,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        interpolation: "bicubic",
        first_conv: "stem.proj",
        classifier: "head",
        ..Preset::imagenet(name, "vit/mlp_mixer")
    }
}

pub(crate) static FAMILY: FamilyTable<MixerVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(MlpMixer::new(variant, config, b)),
    num_features: |variant, config| variant.num_features(config),
};

struct MlpMixer {
    stem: PatchEmbed,
    blocks: Vec<Block>,
    norm: LayerNorm,
    classifier: ClassifierHead,
}

impl MlpMixer {
    fn new(variant: MixerVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let MixerVariant { patch, width, depth } = variant.with(config);
        let patches = (config.input_size.0 / patch) * (config.input_size.1 / patch);
        Ok(MlpMixer {
            stem: PatchEmbed::new(config.in_chans, width, patch, &b.pp("stem"))?,
            blocks: (0..depth)
                .map(|i| Block::new(width, patches, config.drop_path_rate, &b.pp("blocks").pp(i)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPS, &b.pp("norm"))?,
            classifier: ClassifierHead::new(
                Linear::new(width, config.num_classes, true, TRUNCATED, &b.pp("head"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for MlpMixer {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.stem.forward(images)?;
        let size = (x.dims()[2], x.dims()[3]);
        let mut x = tokens(&x)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
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

struct Block {
    norm1: LayerNorm,
    mlp_tokens: Mlp,
    norm2: LayerNorm,
    mlp_channels: Mlp,
    drop_path: DropPath,
}

impl Block {
    fn new(width: usize, patches: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        Ok(Block {
            norm1: LayerNorm::new(width, EPS, &b.pp("norm1"))?,
            mlp_tokens: Mlp::new(patches, width / 2, Activation::Gelu, 0.0, &b.pp("mlp_tokens"))?,
            norm2: LayerNorm::new(width, EPS, &b.pp("norm2"))?,
            mlp_channels: Mlp::new(width, 4 * width, Activation::Gelu, 0.0, &b.pp("mlp_channels"))?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = transpose(&self.norm1.forward(x)?, 1, 2)?;
        let y = transpose(&self.mlp_tokens.forward(&y, mode)?, 1, 2)?;
        let x = add(x, &self.drop_path.forward(&y, mode)?)?;
        let y = self.mlp_channels.forward(&self.norm2.forward(&x)?, mode)?;
        add(&x, &self.drop_path.forward(&y, mode)?)
    }
}
