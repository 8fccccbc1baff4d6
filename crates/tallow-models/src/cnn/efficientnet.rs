//! EfficientNet: one network found by search, scaled in depth and width together.
//!
//! Tan & Le 2019, <https://arxiv.org/abs/1905.11946>. Reference: timm's `efficientnet_b0` to `b4`. The network is in
//! `mobile/`.

use super::mobile::{INCEPTION, MobileVariant, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;
use tallow_nn::op::Activation::Silu;

const STAGES: &[&[&str]] = &[
    &["ds_r1_k3_s1_e1_c16_se0.25"],
    &["ir_r2_k3_s2_e6_c24_se0.25"],
    &["ir_r2_k5_s2_e6_c40_se0.25"],
    &["ir_r3_k3_s2_e6_c80_se0.25"],
    &["ir_r3_k5_s1_e6_c112_se0.25"],
    &["ir_r4_k5_s2_e6_c192_se0.25"],
    &["ir_r1_k3_s1_e6_c320_se0.25"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[
    (row("efficientnet_b0", 224), scaled(1.0, 1.0)),
    (Preset { mean: INCEPTION, std: INCEPTION, crop_pct: 0.9, ..row("efficientnet_b1", 240) }, scaled(1.0, 1.1)),
    (row("efficientnet_b2", 256), scaled(1.1, 1.2)),
    (row("efficientnet_b3", 288), scaled(1.2, 1.4)),
    (row("efficientnet_b4", 320), scaled(1.4, 1.8)),
];

const fn row(name: &'static str, size: usize) -> Preset {
    Preset { input_size: (size, size), ..preset(name, "cnn/efficientnet") }
}

const fn scaled(channels: f64, depth: f64) -> MobileVariant {
    MobileVariant { activation: Silu, ..MobileVariant::new(STAGES) }.scaled(channels, depth)
}
