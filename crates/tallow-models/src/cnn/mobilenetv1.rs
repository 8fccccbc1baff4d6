//! MobileNetV1: depthwise-separable convolutions without shortcuts.
//!
//! Howard et al. 2017, <https://arxiv.org/abs/1704.04861>. Reference: timm's `mobilenetv1_100`. The network is in
//! `mobile/`.

use super::mobile::{Head, INCEPTION, MobileVariant, family, preset};
use crate::family::FamilyTable;
use crate::preset::Preset;

const STAGES: &[&[&str]] = &[
    &["dsa_r1_k3_s1_c64"],
    &["dsa_r2_k3_s2_c128"],
    &["dsa_r2_k3_s2_c256"],
    &["dsa_r6_k3_s2_c512"],
    &["dsa_r2_k3_s2_c1024"],
];

pub(crate) static FAMILY: FamilyTable<MobileVariant> = family(VARIANTS);

const VARIANTS: &[(Preset, MobileVariant)] = &[(
    Preset { mean: INCEPTION, std: INCEPTION, ..preset("mobilenetv1_100", "cnn/mobilenetv1") },
    MobileVariant { head: Head::Pool(1024), ..MobileVariant::new(STAGES) },
)];
