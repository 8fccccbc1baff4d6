//! The configuration of a model: the `[model]` table of a recipe, without the name.

use serde::{Deserialize, Serialize};

/// The first layers of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// A 7×7 convolution of stride 2 and max-pooling of stride 2: for images of at least 100 pixels.
    Imagenet,
    /// A 3×3 convolution of stride 1 without pooling: for images of about 32 pixels.
    Cifar,
}

/// The configuration of a model. Every key has a default; a key that the architecture does not use is an error
/// ([`Error::UnusedKey`](crate::Error::UnusedKey)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The number of classes, which is the number of logits.
    #[serde(skip_serializing_if = "is_unset")]
    pub num_classes: usize,
    /// The number of channels of the input images.
    #[serde(skip_serializing_if = "is_unset")]
    pub in_chans: usize,
    /// Height and width of the input images, in pixels. A family without
    /// [`fixed_input_size`](crate::Preset::fixed_input_size) runs at other sizes too.
    #[serde(skip_serializing_if = "is_unset_size")]
    pub input_size: (usize, usize),
    /// Probability of dropout before the classifier, from 0 to below 1. In wide_resnet it applies within each block.
    pub drop_rate: f32,
    /// Probability of dropping the last residual branch, from 0 to below 1. It grows linearly from 0 at the first
    /// branch.
    pub drop_path_rate: f32,
    /// The first layers; the architecture's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// The number of channels after the first convolution, or of a transformer's tokens. In wide_resnet it is the
    /// widening factor k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// The number of layers, or of a transformer's blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Whether the last norm of each residual branch starts at zero, so that each block starts as the identity. True by
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_init_last: Option<bool>,
    /// The number of heads of each attention layer. It must divide the width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_heads: Option<usize>,
    /// Hidden channels of a transformer's MLPs as a multiple of its width, from 0.1 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f32>,
    /// The side of a patch, in pixels. It must divide height and width of the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Factor of the channels of a mobile network, from 0.05 to 16. Products are rounded to multiples of 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_multiplier: Option<f32>,
    /// Factor of the number of blocks of each stage of a mobile network, from 0.05 to 16. Products are rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_multiplier: Option<f32>,
    /// Rank of a trainable low-rank term of each attention's `qkv` (LoRA). `transfer.freeze = ["backbone"]` does not
    /// freeze it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<usize>,
    /// Fraction of a feature map that DropBlock drops in the last two stages, from 0 to below 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub drop_block_rate: f32,
    /// Whether the backward pass recomputes the activations within blocks instead of keeping them: the same gradients
    /// with less memory and more time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint_activations: bool,
}

fn is_zero(rate: &f32) -> bool {
    *rate == 0.0
}

fn is_unset(count: &usize) -> bool {
    *count == 0
}

fn is_unset_size(size: &(usize, usize)) -> bool {
    *size == (0, 0)
}

impl Default for ModelConfig {
    /// ImageNet: 1000 classes of 3×224×224.
    fn default() -> Self {
        ModelConfig {
            num_classes: 1000,
            in_chans: 3,
            input_size: (224, 224),
            drop_rate: 0.0,
            drop_path_rate: 0.0,
            stem: None,
            width: None,
            depth: None,
            zero_init_last: None,
            num_heads: None,
            mlp_ratio: None,
            patch_size: None,
            channel_multiplier: None,
            depth_multiplier: None,
            lora_rank: None,
            drop_block_rate: 0.0,
            checkpoint_activations: false,
        }
    }
}

impl ModelConfig {
    /// The keys that decide the number of parameters, for messages: `model.num_classes, model.width`.
    pub(crate) fn keys_set(&self) -> String {
        let set = Key::ALL.iter().filter(|key| key.is_set(self)).map(|key| key.name());
        ["num_classes"].into_iter().chain(set).map(|key| format!("model.{key}")).collect::<Vec<_>>().join(", ")
    }
}

/// An optional key of [`ModelConfig`], which some families use and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `stem`
    Stem,
    /// `width`
    Width,
    /// `depth`
    Depth,
    /// `drop_rate`
    DropRate,
    /// `drop_path_rate`
    DropPathRate,
    /// `zero_init_last`
    ZeroInitLast,
    /// `num_heads`
    NumHeads,
    /// `mlp_ratio`
    MlpRatio,
    /// `patch_size`
    PatchSize,
    /// `channel_multiplier`
    ChannelMultiplier,
    /// `depth_multiplier`
    DepthMultiplier,
    /// `lora_rank`
    LoraRank,
    /// `drop_block_rate`
    DropBlockRate,
    /// `checkpoint_activations`
    CheckpointActivations,
}

impl Key {
    /// All keys.
    pub const ALL: &[Key] = &[
        Key::DropRate,
        Key::DropPathRate,
        Key::Stem,
        Key::Width,
        Key::Depth,
        Key::ZeroInitLast,
        Key::NumHeads,
        Key::MlpRatio,
        Key::PatchSize,
        Key::ChannelMultiplier,
        Key::DepthMultiplier,
        Key::LoraRank,
        Key::DropBlockRate,
        Key::CheckpointActivations,
    ];

    /// The key's name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Key::Stem => "stem",
            Key::Width => "width",
            Key::Depth => "depth",
            Key::DropRate => "drop_rate",
            Key::DropPathRate => "drop_path_rate",
            Key::ZeroInitLast => "zero_init_last",
            Key::NumHeads => "num_heads",
            Key::MlpRatio => "mlp_ratio",
            Key::PatchSize => "patch_size",
            Key::ChannelMultiplier => "channel_multiplier",
            Key::DepthMultiplier => "depth_multiplier",
            Key::LoraRank => "lora_rank",
            Key::DropBlockRate => "drop_block_rate",
            Key::CheckpointActivations => "checkpoint_activations",
        }
    }

    /// Whether `config` sets the key.
    pub(crate) fn is_set(self, config: &ModelConfig) -> bool {
        match self {
            Key::Stem => config.stem.is_some(),
            Key::Width => config.width.is_some(),
            Key::Depth => config.depth.is_some(),
            Key::DropRate => config.drop_rate != 0.0,
            Key::DropPathRate => config.drop_path_rate != 0.0,
            Key::ZeroInitLast => config.zero_init_last.is_some(),
            Key::NumHeads => config.num_heads.is_some(),
            Key::MlpRatio => config.mlp_ratio.is_some(),
            Key::PatchSize => config.patch_size.is_some(),
            Key::ChannelMultiplier => config.channel_multiplier.is_some(),
            Key::DepthMultiplier => config.depth_multiplier.is_some(),
            Key::LoraRank => config.lora_rank.is_some(),
            Key::DropBlockRate => config.drop_block_rate != 0.0,
            Key::CheckpointActivations => config.checkpoint_activations,
        }
    }
}
