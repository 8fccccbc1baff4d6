//! DeiT: Vision Transformers trained on ImageNet alone.
//!
//! Touvron et al. 2020, <https://arxiv.org/abs/2012.12877>. The distilled models have a second token, `dist_token`,
//! with its own classifier, `head_dist`. The logits are the mean of both classifiers, in training too (timm's
//! default). With a teacher (`distill.teacher`), the labels train the first classifier and the teacher trains the
//! second. DeiT III, Touvron et al. 2022, <https://arxiv.org/abs/2204.07118>, has LayerScale and no position embedding
//! for the class token.
//!
//! Reference: timm's `deit_*` and `deit3_*`. Names, keys and initial values are those of
//! [`super::vision_transformer`].

use super::vision_transformer::{KEYS, VitVariant, family};
use crate::family::FamilyTable;
use crate::preset::Preset;

pub(crate) static FAMILY: FamilyTable<VitVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, VitVariant)] = &[
    (preset("deit_tiny_patch16_224"), VitVariant::plain(16, 192, 3)),
    (preset("deit_small_patch16_224"), VitVariant::plain(16, 384, 6)),
    (preset("deit_base_patch16_224"), VitVariant::plain(16, 768, 12)),
    (preset("deit_tiny_distilled_patch16_224"), distilled(192, 3)),
    (preset("deit_small_distilled_patch16_224"), distilled(384, 6)),
    (preset("deit_base_distilled_patch16_224"), distilled(768, 12)),
    (preset("deit3_small_patch16_224"), deit3(384, 6)),
    (preset("deit3_base_patch16_224"), deit3(768, 12)),
];

const fn distilled(width: usize, heads: usize) -> VitVariant {
    VitVariant { distilled: true, ..VitVariant::plain(16, width, heads) }
}

const fn deit3(width: usize, heads: usize) -> VitVariant {
    VitVariant { layer_scale: Some(1e-6), embed_class: false, ..VitVariant::plain(16, width, heads) }
}

/// The preprocessing of timm's default weights, `fb_in1k`.
const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        min_input_size: 16,
        size_multiple: 16,
        fixed_input_size: true,
        crop_pct: 0.9,
        interpolation: "bicubic",
        global_pool: "token",
        first_conv: "patch_embed.proj",
        classifier: "head",
        ..Preset::imagenet(name, "vit/deit")
    }
}
