//! MobileNetV2: inverted residuals, narrow between blocks and wide inside them.
//!
//! Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>. Reference: timm's `mobilenetv2_050/100/140`. The network
//! is in `mobile/`.

use super::mobile::{Head, MobileVariant, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;

const STAGES: &[&[&str]] = &[
    &["ds_r1_k3_s1_c16"],
    &["ir_r2_k3_s2_e6_c24"],
    &["ir_r3_k3_s2_e6_c32"],
    &["ir_r4_k3_s2_e6_c64"],
    &["ir_r3_k3_s1_e6_c96"],
    &["ir_r3_k3_s2_e6_c160"],
    &["ir_r1_k3_s1_e6_c320"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[
    (preset("mobilenetv2_050", "cnn/mobilenetv2"), scaled(0.5)),
    (preset("mobilenetv2_100", "cnn/mobilenetv2"), scaled(1.0)),
    (preset("mobilenetv2_140", "cnn/mobilenetv2"), scaled(1.4)),
];

const fn scaled(channel_multiplier: f64) -> MobileVariant {
    MobileVariant { head: Head::ConvAtLeast(1280), ..MobileVariant::new(STAGES) }.scaled(channel_multiplier, 1.0)
}
