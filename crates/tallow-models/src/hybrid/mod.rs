//! Networks of convolutions and attention, one family a file; here, what several of them share.

pub(crate) mod coatnet;
pub(crate) mod efficientformer;
pub(crate) mod levit;
pub(crate) mod maxvit;
mod mbconv;
pub(crate) mod mobilevit;
pub(crate) mod poolformer;
pub(crate) mod resnetv2;
pub(crate) mod vit_hybrid;

use candle_core::Tensor;
use tallow_nn::kernels::activation::Activation;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, Conv2d, Conv2dOptions};
use tallow_nn::{Builder, Mode, Result};

/// A convolution without bias, padded so that stride 1 keeps the size, and a BatchNorm behind it.
#[derive(Debug, Clone)]
struct ConvNorm {
    conv: Conv2d,
    bn: BatchNorm2d,
}

/// What tells one [`ConvNorm`] from another.
#[derive(Debug, Clone, Copy)]
struct ConvNormSpec {
    kernel: usize,
    stride: usize,
    groups: usize,
    /// The initial scale of the norm.
    scale: f32,
    /// The convolution's name.
    name: &'static str,
}

impl Default for ConvNormSpec {
    fn default() -> Self {
        ConvNormSpec { kernel: 1, stride: 1, groups: 1, scale: 1.0, name: "conv" }
    }
}

impl ConvNorm {
    fn new(inputs: usize, outputs: usize, spec: ConvNormSpec, b: &Builder) -> Result<Self> {
        let ConvNormSpec { kernel, stride, groups, scale, name } = spec;
        let options = Conv2dOptions { stride, padding: kernel / 2, groups, ..Default::default() };
        let norm = BatchNormOptions { weight_init: scale, ..Default::default() };
        Ok(ConvNorm {
            conv: Conv2d::new(inputs, outputs, kernel, options, &b.pp(name))?,
            bn: BatchNorm2d::new(outputs, norm, &b.pp("bn"))?,
        })
    }

    fn forward(&self, x: &Tensor, activation: Activation, mode: &Mode) -> Result<Tensor> {
        self.bn.forward_conv(&self.conv, x, activation, mode)
    }
}
