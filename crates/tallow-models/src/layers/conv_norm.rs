//! A convolution and the BatchNorm behind it.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, Conv2d, Conv2dOptions};
use tallow_nn::op::Activation;
use tallow_nn::{Builder, Mode, Result};

/// A convolution and a BatchNorm, which an evaluation that records no gradients computes as one.
#[derive(Debug, Clone)]
pub(crate) struct ConvNorm {
    pub(crate) conv: Conv2d,
    pub(crate) norm: BatchNorm2d,
}

/// What tells one [`ConvNorm`] without bias, padded so that stride 1 keeps the size, from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvNormSpec {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    /// The initial scale of the norm.
    pub(crate) scale: f32,
    /// The convolution's name; the norm is `bn`.
    pub(crate) name: &'static str,
}

impl Default for ConvNormSpec {
    fn default() -> Self {
        ConvNormSpec { kernel: 1, stride: 1, groups: 1, scale: 1.0, name: "conv" }
    }
}

impl ConvNorm {
    pub(crate) fn new(inputs: usize, outputs: usize, spec: ConvNormSpec, b: &Builder) -> Result<Self> {
        let ConvNormSpec { kernel, stride, groups, scale, name } = spec;
        let options = Conv2dOptions { stride, padding: kernel / 2, groups, ..Default::default() };
        let norm = BatchNormOptions { weight_init: scale, ..Default::default() };
        Ok(ConvNorm {
            conv: Conv2d::new(inputs, outputs, kernel, options, &b.pp(name))?,
            norm: BatchNorm2d::new(outputs, norm, &b.pp("bn"))?,
        })
    }

    /// `[n, in, h, w]` → `[n, out, h', w']`.
    pub(crate) fn forward(&self, x: &Tensor, activation: Activation, mode: &Mode) -> Result<Tensor> {
        self.norm.forward_conv(&self.conv, x, activation, mode)
    }
}
