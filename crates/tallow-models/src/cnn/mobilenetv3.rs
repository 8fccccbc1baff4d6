//! MobileNetV3: searched inverted residuals with squeeze-excite and hard swish, the last layer after pooling.
//!
//! Howard et al. 2019, <https://arxiv.org/abs/1905.02244>. Reference: timm's `mobilenetv3_small_050/075/100`
//! and `mobilenetv3_large_100`. The network itself is in `mobile/`.

use super::mobile::{Head, Layout, Squeeze, preset};
use crate::registry::{Arch, Preset};
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

pub(crate) const PRESETS: &[Preset] = &[
    row("mobilenetv3_small_050", SMALL, 0.5, 576, 1024),
    row("mobilenetv3_small_075", SMALL, 0.75, 576, 1024),
    row("mobilenetv3_small_100", SMALL, 1.0, 576, 1024),
    row("mobilenetv3_large_100", LARGE, 1.0, 960, 1280),
];

const fn row(
    name: &'static str,
    stages: &'static [&'static [&'static str]],
    channel_multiplier: f64,
    features: usize,
    hidden: usize,
) -> Preset {
    let layout = Layout {
        stem: 16,
        scale_stem_from: 0.75,
        head: Head::AfterPool { features, hidden, norm: false },
        activation: Hardswish,
        squeeze: Squeeze::OfHidden,
        ..Layout::new(stages)
    };
    preset(name, "cnn/mobilenetv3", Arch::MobileNetV3(layout.scaled(channel_multiplier, 1.0)))
}
