//! EfficientNet-Lite: EfficientNet with ReLU6 and without squeeze-excite; stem and head are not scaled.
//!
//! Liu 2020, <https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite>. Reference: timm's
//! `efficientnet_lite0` to `lite4`, and `tf_efficientnet_lite0` to `lite4` with TensorFlow's padding and epsilon. The network
//! is in `mobile/`.

use super::mobile::{Head, INCEPTION, MobileVariant, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;

const STAGES: &[&[&str]] = &[
    &["ds_r1_k3_s1_e1_c16"],
    &["ir_r2_k3_s2_e6_c24"],
    &["ir_r2_k5_s2_e6_c40"],
    &["ir_r3_k3_s2_e6_c80"],
    &["ir_r3_k5_s1_e6_c112"],
    &["ir_r4_k5_s2_e6_c192"],
    &["ir_r1_k3_s1_e6_c320"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[
    (tf("tf_efficientnet_lite0", 224, 0.875), scaled(1.0, 1.0).tensorflow()),
    (tf("tf_efficientnet_lite1", 240, 0.882), scaled(1.0, 1.1).tensorflow()),
    (tf("tf_efficientnet_lite2", 260, 0.89), scaled(1.1, 1.2).tensorflow()),
    (Preset { interpolation: "bilinear", ..tf("tf_efficientnet_lite3", 300, 0.904) }, scaled(1.2, 1.4).tensorflow()),
    (Preset { interpolation: "bilinear", ..tf("tf_efficientnet_lite4", 380, 0.92) }, scaled(1.4, 1.8).tensorflow()),
    (row("efficientnet_lite0", 224, 0.875), scaled(1.0, 1.0)),
    (row("efficientnet_lite1", 240, 0.882), scaled(1.0, 1.1)),
    (row("efficientnet_lite2", 260, 0.89), scaled(1.1, 1.2)),
    (row("efficientnet_lite3", 300, 0.904), scaled(1.2, 1.4)),
    (row("efficientnet_lite4", 380, 0.922), scaled(1.4, 1.8)),
];

const fn tf(name: &'static str, size: usize, crop_pct: f32) -> Preset {
    Preset { mean: INCEPTION, std: INCEPTION, ..row(name, size, crop_pct) }
}

const fn row(name: &'static str, size: usize, crop_pct: f32) -> Preset {
    Preset { input_size: (size, size), crop_pct, ..preset(name, "cnn/efficientnet_lite") }
}

const fn scaled(channels: f64, depth: f64) -> MobileVariant {
    let variant = MobileVariant {
        scale_stem_from: f64::INFINITY,
        fix_first_last: true,
        head: Head::ConvOf(1280),
        ..MobileVariant::new(STAGES)
    };
    variant.scaled(channels, depth)
}
