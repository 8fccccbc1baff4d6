//! EfficientNet: one searched network, deepened and widened together.
//!
//! Tan & Le 2019, <https://arxiv.org/abs/1905.11946>. Reference: timm's `efficientnet_b0` to `b4`. The network
//! itself is in `mobile/`.

use super::mobile::{INCEPTION, Layout, preset};
use crate::registry::{Arch, Preset};
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

pub(crate) const PRESETS: &[Preset] = &[
    row("efficientnet_b0", 1.0, 1.0, 224),
    Preset { mean: INCEPTION, std: INCEPTION, crop_pct: 0.9, ..row("efficientnet_b1", 1.0, 1.1, 240) },
    row("efficientnet_b2", 1.1, 1.2, 256),
    row("efficientnet_b3", 1.2, 1.4, 288),
    row("efficientnet_b4", 1.4, 1.8, 320),
];

const fn row(name: &'static str, channels: f64, depth: f64, size: usize) -> Preset {
    let layout = Layout { activation: Silu, ..Layout::new(STAGES) };
    let arch = Arch::EfficientNet(layout.scaled(channels, depth));
    Preset { input_size: (size, size), ..preset(name, "cnn/efficientnet", arch) }
}
