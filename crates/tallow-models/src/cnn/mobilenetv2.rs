//! MobileNetV2: inverted residuals, narrow between blocks and wide within.
//!
//! Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>. Reference: timm's `mobilenetv2_050/100/140`. The
//! network itself is in `mobile/`.

use super::mobile::{Head, Layout, preset};
use crate::registry::{Arch, Preset};

const STAGES: &[&[&str]] = &[
    &["ds_r1_k3_s1_c16"],
    &["ir_r2_k3_s2_e6_c24"],
    &["ir_r3_k3_s2_e6_c32"],
    &["ir_r4_k3_s2_e6_c64"],
    &["ir_r3_k3_s1_e6_c96"],
    &["ir_r3_k3_s2_e6_c160"],
    &["ir_r1_k3_s1_e6_c320"],
];

pub(crate) const PRESETS: &[Preset] =
    &[row("mobilenetv2_050", 0.5), row("mobilenetv2_100", 1.0), row("mobilenetv2_140", 1.4)];

const fn row(name: &'static str, channel_multiplier: f64) -> Preset {
    let layout = Layout { head: Head::ConvAtLeast(1280), ..Layout::new(STAGES) };
    preset(name, "cnn/mobilenetv2", Arch::MobileNetV2(layout.scaled(channel_multiplier, 1.0)))
}
