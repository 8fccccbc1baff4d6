//! MobileNetV3: inverted residuals found by search, with squeeze-excite and hard swish; the last layer follows the
//! pooling.
//!
//! Howard et al. 2019, <https://arxiv.org/abs/1905.02244>. Reference: timm's `mobilenetv3_small_050/075/100` and
//! `mobilenetv3_large_100`. The network is in `mobile/`.

use super::mobile::{Head, MobileVariant, Squeeze, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;
use tallow_nn::op::Activation::Hardswish;

const SMALL: &[&[&str]] = &[
    &["ds_r1_k3_s2_e1_c16_se0.25_nre"],
    &["ir_r1_k3_s2_e4.5_c24_nre", "ir_r1_k3_s1_e3.67_c24_nre"],
    &["ir_r1_k5_s2_e4_c40_se0.25", "ir_r2_k5_s1_e6_c40_se0.25"],
    &["ir_r2_k5_s1_e3_c48_se0.25"],
    &["ir_r3_k5_s2_e6_c96_se0.25"],
    &["cn_r1_k1_s1_c576"],
];

const LARGE: &[&[&str]] = &[
    &["ds_r1_k3_s1_e1_c16_nre"],
    &["ir_r1_k3_s2_e4_c24_nre", "ir_r1_k3_s1_e3_c24_nre"],
    &["ir_r3_k5_s2_e3_c40_se0.25_nre"],
    &["ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"],
    &["ir_r2_k3_s1_e6_c112_se0.25"],
    &["ir_r3_k5_s2_e6_c160_se0.25"],
    &["cn_r1_k1_s1_c960"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[
    (preset("mobilenetv3_small_050", "cnn/mobilenetv3"), small(0.5)),
    (preset("mobilenetv3_small_075", "cnn/mobilenetv3"), small(0.75)),
    (preset("mobilenetv3_small_100", "cnn/mobilenetv3"), small(1.0)),
    (preset("mobilenetv3_large_100", "cnn/mobilenetv3"), variant(LARGE, 960, 1280)),
];

const fn small(channel_multiplier: f64) -> MobileVariant {
    variant(SMALL, 576, 1024).scaled(channel_multiplier, 1.0)
}

const fn variant(stages: &'static [&'static [&'static str]], features: usize, hidden: usize) -> MobileVariant {
    MobileVariant {
        stem: 16,
        scale_stem_from: 0.75,
        head: Head::AfterPool { features, hidden, norm: false },
        activation: Hardswish,
        squeeze: Squeeze::OfHidden,
        ..MobileVariant::new(stages)
    }
}
