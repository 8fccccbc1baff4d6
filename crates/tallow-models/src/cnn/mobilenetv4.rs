//! MobileNetV4: universal inverted bottlenecks, each with zero to two depthwise convolutions.
//!
//! Qin et al. 2024, <https://arxiv.org/abs/2404.10518>. Reference: timm's `mobilenetv4_conv_small/medium`. The hybrid
//! variants with attention are not implemented. The network is in `mobile/`.

use super::mobile::{Head, MobileVariant, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;
use tallow_nn::op::Activation::Relu;

const SMALL: &[&[&str]] = &[
    &["cn_r1_k3_s2_e1_c32", "cn_r1_k1_s1_e1_c32"],
    &["cn_r1_k3_s2_e1_c96", "cn_r1_k1_s1_e1_c64"],
    &["uir_r1_a5_k5_s2_e3_c96", "uir_r4_a0_k3_s1_e2_c96", "uir_r1_a3_k0_s1_e4_c96"],
    &[
        "uir_r1_a3_k3_s2_e6_c128",
        "uir_r1_a5_k5_s1_e4_c128",
        "uir_r1_a0_k5_s1_e4_c128",
        "uir_r1_a0_k5_s1_e3_c128",
        "uir_r2_a0_k3_s1_e4_c128",
    ],
    &["cn_r1_k1_s1_c960"],
];

const MEDIUM: &[&[&str]] = &[
    &["er_r1_k3_s2_e4_c48"],
    &["uir_r1_a3_k5_s2_e4_c80", "uir_r1_a3_k3_s1_e2_c80"],
    &[
        "uir_r1_a3_k5_s2_e6_c160",
        "uir_r2_a3_k3_s1_e4_c160",
        "uir_r1_a3_k5_s1_e4_c160",
        "uir_r1_a3_k3_s1_e4_c160",
        "uir_r1_a3_k0_s1_e4_c160",
        "uir_r1_a0_k0_s1_e2_c160",
        "uir_r1_a3_k0_s1_e4_c160",
    ],
    &[
        "uir_r1_a5_k5_s2_e6_c256",
        "uir_r1_a5_k5_s1_e4_c256",
        "uir_r2_a3_k5_s1_e4_c256",
        "uir_r1_a0_k0_s1_e4_c256",
        "uir_r1_a3_k0_s1_e4_c256",
        "uir_r1_a3_k5_s1_e2_c256",
        "uir_r1_a5_k5_s1_e4_c256",
        "uir_r2_a0_k0_s1_e4_c256",
        "uir_r1_a5_k0_s1_e2_c256",
    ],
    &["cn_r1_k1_s1_c960"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[
    (preset("mobilenetv4_conv_small", "cnn/mobilenetv4"), variant(SMALL)),
    (
        Preset { input_size: (256, 256), crop_pct: 0.95, ..preset("mobilenetv4_conv_medium", "cnn/mobilenetv4") },
        variant(MEDIUM),
    ),
];

const fn variant(stages: &'static [&'static [&'static str]]) -> MobileVariant {
    MobileVariant {
        scale_stem_from: 1.0,
        head: Head::AfterPool { features: 960, hidden: 1280, norm: true },
        activation: Relu,
        ..MobileVariant::new(stages)
    }
}
