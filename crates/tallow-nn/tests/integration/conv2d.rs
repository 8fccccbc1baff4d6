//! Convolution against PyTorch's recorded values, finite differences, and itself on other thread counts.

use crate::common::{check_gradient, check_recorded, check_threads, random, recorded};
use tallow_nn::op::{ConvConfig, conv2d};

#[test]
fn equals_pytorch() {
    for case in recorded("conv2d") {
        let c = case.config();
        let config = ConvConfig { stride: (c[0], c[1]), padding: (c[2], c[3]), dilation: (c[4], c[5]), groups: c[6] };
        if case.has("bias") {
            check_recorded(&case, &["x", "weight", "bias"], 2e-6, |t| conv2d(&t[0], &t[1], Some(&t[2]), config));
        } else {
            check_recorded(&case, &["x", "weight"], 2e-6, |t| conv2d(&t[0], &t[1], None, config));
        }
    }
}

#[test]
fn gradient_is_the_slope() {
    for (label, x, weight, config) in [
        ("plain", [2, 3, 5, 4], [4, 3, 3, 3], ConvConfig { padding: (1, 1), ..Default::default() }),
        ("strided", [1, 2, 7, 6], [3, 2, 3, 3], ConvConfig { stride: (2, 2), padding: (1, 1), ..Default::default() }),
        ("depthwise", [2, 3, 5, 5], [3, 1, 3, 3], ConvConfig { padding: (1, 1), groups: 3, ..Default::default() }),
        ("grouped", [1, 4, 4, 5], [6, 2, 2, 3], ConvConfig { groups: 2, ..Default::default() }),
    ] {
        let inputs = [random(1, &x), random(2, &weight), random(3, &weight[..1])];
        check_gradient(label, &inputs, |t| conv2d(&t[0], &t[1], Some(&t[2]), config));
    }
}

#[test]
fn threads_change_nothing() {
    for (label, x, weight, config) in [
        ("3×3", [9, 20, 17, 13], [33, 20, 3, 3], ConvConfig { padding: (1, 1), ..Default::default() }),
        ("1×1", [9, 40, 15, 13], [24, 40, 1, 1], ConvConfig::default()),
        (
            "strided",
            [5, 12, 30, 31],
            [20, 12, 3, 3],
            ConvConfig { stride: (2, 2), padding: (1, 1), ..Default::default() },
        ),
        ("depthwise", [7, 36, 19, 18], [36, 1, 3, 3], ConvConfig { padding: (1, 1), groups: 36, ..Default::default() }),
    ] {
        let inputs = [random(1, &x), random(2, &weight), random(3, &weight[..1])];
        check_threads(label, &inputs, |t| conv2d(&t[0], &t[1], Some(&t[2]), config));
    }
}
