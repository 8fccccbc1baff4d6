//! The configuration of a model: what a recipe's `[model]` table holds besides the name.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::registry::Preset;

/// How a network of the ImageNet size takes its input in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// A 7×7 convolution of stride 2, then max-pooling of stride 2: for images of 100 pixels and more.
    Imagenet,
    /// A 3×3 convolution of stride 1, no pooling: for images of some 32 pixels.
    Cifar,
}

/// What a model is built with. Every key has a default; one that the architecture has no use for
/// is refused, not ignored ([`Error::UnusedKey`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Classes: the number of logits.
    pub num_classes: usize,
    /// Channels of the input images.
    pub in_chans: usize,
    /// Height and width of the input images, in pixels. Purely convolutional families run at other
    /// sizes too.
    pub input_size: (usize, usize),
    /// Probability of dropout before the classifier; in wide_resnet, within each block.
    pub drop_rate: f32,
    /// Probability of dropping the last residual branch; earlier ones less, down to 0 linearly.
    pub drop_path_rate: f32,
    /// The first layers; the architecture's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Channels after the first convolution; in wide_resnet, the widening factor k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Number of layers as the family counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Whether the last normalisation of each residual branch starts at zero, so that each block
    /// starts as the identity; true by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_init_last: Option<bool>,
    /// Heads of each attention; they must divide the width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_heads: Option<usize>,
    /// Hidden channels of a transformer's MLPs, as a multiple of its width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f32>,
    /// Pixels of a patch's side; it must divide height and width of the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Multiplies the channels of a mobile network, each rounded to a multiple of 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_multiplier: Option<f32>,
    /// Multiplies the number of blocks of each stage of a mobile network, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_multiplier: Option<f32>,
    /// Rank of a low-rank change that is learnt beside each attention's `qkv` (LoRA); `transfer.freeze = ["backbone"]`
    /// leaves it free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<usize>,
    /// Share of a feature map that DropBlock drops in the last two stages.
    #[serde(skip_serializing_if = "is_zero")]
    pub drop_block_rate: f32,
    /// Whether activations within blocks are not kept for the backward pass but computed again: the same gradients, less
    /// memory, more time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint_activations: bool,
}

fn is_zero(rate: &f32) -> bool {
    *rate == 0.0
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

/// A key of [`ModelConfig`] that some families use and others do not.
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
    /// All of them, in the order of the config.
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

    /// The key as it is written in a recipe.
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

    fn is_set(self, config: &ModelConfig) -> bool {
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

impl ModelConfig {
    /// Checks what holds for every architecture, and that no key is set in vain.
    ///
    /// # Errors
    /// [`Error::BadValue`], [`Error::UnusedKey`].
    pub fn check(&self, preset: &Preset) -> Result<()> {
        let (h, w) = self.input_size;
        let size = [
            ("num_classes", self.num_classes, 1),
            ("in_chans", self.in_chans, 1),
            ("width", self.width.unwrap_or(1), 1),
            ("depth", self.depth.unwrap_or(1), 1),
            ("num_heads", self.num_heads.unwrap_or(1), 1),
            ("patch_size", self.patch_size.unwrap_or(1), 1),
            ("lora_rank", self.lora_rank.unwrap_or(1), 1),
            ("input_size", h.min(w), self.patch_size.unwrap_or(preset.min_input_size)),
        ];
        for (key, found, least) in size {
            if found < least {
                return Err(preset.bad_value(key, format!("at least {least}"), found));
            }
        }
        let multiple = self.patch_size.unwrap_or(preset.size_multiple);
        if h % multiple != 0 || w % multiple != 0 {
            let expected = format!("a height and width that {multiple} divides");
            return Err(preset.bad_value("input_size", expected, format!("{h}×{w}")));
        }
        let rates = [
            ("drop_rate", self.drop_rate),
            ("drop_path_rate", self.drop_path_rate),
            ("drop_block_rate", self.drop_block_rate),
        ];
        for (key, rate) in rates {
            if !(0.0..1.0).contains(&rate) {
                return Err(preset.bad_value(key, "at least 0 and below 1", rate));
            }
        }
        if let Some(ratio) = self.mlp_ratio.filter(|ratio| !(0.1..=64.0).contains(ratio)) {
            return Err(preset.bad_value("mlp_ratio", "from 0.1 to 64", ratio));
        }
        let multipliers =
            [("channel_multiplier", self.channel_multiplier), ("depth_multiplier", self.depth_multiplier)];
        for (key, multiplier) in multipliers {
            if let Some(multiplier) = multiplier.filter(|multiplier| !(0.05..=16.0).contains(multiplier)) {
                return Err(preset.bad_value(key, "from 0.05 to 16", multiplier));
            }
        }
        match Key::ALL.iter().find(|key| key.is_set(self) && !preset.keys.contains(key)) {
            None => Ok(()),
            Some(key) => {
                let names: Vec<_> = preset.keys.iter().map(|key| key.name()).collect();
                Err(Error::UnusedKey { key: key.name(), model: preset.name, uses: names.join(", ") })
            }
        }
    }
}
