//! EfficientNetV2: full convolutions instead of depthwise ones in the early stages, for training speed.
//!
//! Tan & Le 2021, <https://arxiv.org/abs/2104.00298>. Reference: timm's `tf_efficientnetv2_b0` and
//! `tf_efficientnetv2_s`, with TensorFlow's padding and epsilon. The network is in `mobile/`.

use super::mobile::{INCEPTION, MobileVariant, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;
use tallow_nn::op::Activation::Silu;

const BASE: &[&[&str]] = &[
    &["cn_r1_k3_s1_e1_c16_skip"],
    &["er_r2_k3_s2_e4_c32"],
    &["er_r2_k3_s2_e4_c48"],
    &["ir_r3_k3_s2_e4_c96_se0.25"],
    &["ir_r5_k3_s1_e6_c112_se0.25"],
    &["ir_r8_k3_s2_e6_c192_se0.25"],
];

const SMALL: &[&[&str]] = &[
    &["cn_r2_k3_s1_e1_c24_skip"],
    &["er_r4_k3_s2_e4_c48"],
    &["er_r4_k3_s2_e4_c64"],
    &["ir_r6_k3_s2_e4_c128_se0.25"],
    &["ir_r9_k3_s1_e6_c160_se0.25"],
    &["ir_r15_k3_s2_e6_c256_se0.25"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[
    (
        Preset { input_size: (192, 192), ..preset("tf_efficientnetv2_b0", "cnn/efficientnetv2") },
        MobileVariant { activation: Silu, round_limit: 0.0, ..MobileVariant::new(BASE) }.tensorflow(),
    ),
    (
        Preset {
            input_size: (300, 300),
            mean: INCEPTION,
            std: INCEPTION,
            crop_pct: 1.0,
            ..preset("tf_efficientnetv2_s", "cnn/efficientnetv2")
        },
        MobileVariant { activation: Silu, stem: 24, ..MobileVariant::new(SMALL) }.tensorflow(),
    ),
];
