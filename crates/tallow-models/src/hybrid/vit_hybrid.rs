//! Vision Transformers on the features of a small ResNet instead of image patches.
//!
//! Dosovitskiy et al. 2020, <https://arxiv.org/abs/2010.11929>; Steiner et al. 2021,
//! <https://arxiv.org/abs/2106.10270>.
//!
//! Reference: timm's `vision_transformer_hybrid`. Names, keys and initial values are those of
//! [`crate::vit::vision_transformer`]; the ResNet ([`super::resnetv2`]) is under `patch_embed.backbone`.
//!
//! `vit_tiny_r9_s4_28` is not in timm; timm builds it with `HybridEmbed`. It is for images of about 30 pixels, of
//! which the other backbones leave one patch: four blocks on the first five convolutions of a [`crate::cnn::resnet9`]
//! of width 48. Early convolutions let a transformer learn from little data (Xiao et al. 2021,
//! <https://arxiv.org/abs/2106.14881>).

use super::backbone::Backbone;
use crate::config::Key;
use crate::family::FamilyTable;
use crate::preset::Preset;
use crate::vit::vision_transformer::{VitVariant, family};

pub(crate) static FAMILY: FamilyTable<VitVariant> = family(VARIANTS);

const KEYS: &[Key] = &[
    Key::DropRate,
    Key::DropPathRate,
    Key::Width,
    Key::Depth,
    Key::NumHeads,
    Key::MlpRatio,
    Key::CheckpointActivations,
];

const VARIANTS: &[(Preset, VitVariant)] = &[
    (
        Preset {
            input_size: (28, 28),
            min_input_size: 8,
            size_multiple: 4,
            in_chans: 1,
            num_classes: 10,
            mean: &[0.2860],
            std: &[0.3530],
            crop_pct: 1.0,
            first_conv: "patch_embed.backbone.0.0",
            ..preset("vit_tiny_r9_s4_28")
        },
        VitVariant { backbone: Backbone::ResNet9(48), depth: 4, mlp_ratio: 2.0, ..VitVariant::plain(1, 192, 3) },
    ),
    (
        Preset { first_conv: "patch_embed.backbone.conv", ..preset("vit_tiny_r_s16_p8_224") },
        VitVariant { backbone: Backbone::Stem, ..VitVariant::plain(8, 192, 3) },
    ),
    (
        preset("vit_small_r26_s32_224"),
        VitVariant { backbone: Backbone::Stages([2, 2, 2, 2]), ..VitVariant::plain(1, 384, 6) },
    ),
];

/// The preprocessing of timm's default weights, `augreg_in21k_ft_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 32,
        size_multiple: 32,
        fixed_input_size: true,
        mean: &[0.5; 3],
        std: &[0.5; 3],
        crop_pct: 0.9,
        interpolation: "bicubic",
        global_pool: "token",
        first_conv: "patch_embed.backbone.stem.conv",
        classifier: "head",
        ..Preset::imagenet(name, "hybrid/vit_hybrid")
    }
}
