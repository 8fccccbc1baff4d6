//! Convolution, BatchNorm, ReLU, as the Inception networks use them.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, Conv2d, Conv2dOptions};
use tallow_nn::op::Activation::Relu;
use tallow_nn::{Builder, Init, Mode, Result};

use crate::layers::conv_norm;

/// A convolution without bias under `conv`, a norm with an eps of 0.001 under `bn`, ReLU.
pub(super) struct ConvNorm(conv_norm::ConvNorm);

/// How a [`ConvNorm`] moves and starts.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Height, width.
    pub kernel: (usize, usize),
    pub stride: usize,
    /// Height, width.
    pub padding: (usize, usize),
    pub init: Init,
}

impl Shape {
    /// Of stride 1, padded so that the size stays.
    pub const fn same(height: usize, width: usize, init: Init) -> Shape {
        Shape { kernel: (height, width), stride: 1, padding: (height / 2, width / 2), init }
    }

    /// A square without padding.
    pub const fn valid(side: usize, stride: usize, init: Init) -> Shape {
        Shape { kernel: (side, side), stride, padding: (0, 0), init }
    }
}

impl ConvNorm {
    pub fn new(inputs: usize, outputs: usize, shape: Shape, b: &Builder) -> Result<Self> {
        let Shape { kernel, stride, padding, init } = shape;
        let options = Conv2dOptions { stride, init, ..Default::default() };
        let norm = BatchNormOptions { eps: 1e-3, ..Default::default() };
        Ok(ConvNorm(conv_norm::ConvNorm {
            conv: Conv2d::rectangular(inputs, outputs, kernel, padding, options, &b.pp("conv"))?,
            norm: BatchNorm2d::new(outputs, norm, &b.pp("bn"))?,
        }))
    }

    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.0.forward(x, Relu, mode)
    }
}

/// One after the other.
pub(super) fn chain(layers: &[ConvNorm], x: &Tensor, mode: &Mode) -> Result<Tensor> {
    layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, mode))
}
