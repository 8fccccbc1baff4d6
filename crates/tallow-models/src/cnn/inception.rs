//! The parts that GoogLeNet and the Inception networks share: convolutions with BatchNorm and ReLU, one after the other.

use candle_core::Tensor;
use tallow_nn::layers::BatchNormOptions;
use tallow_nn::op::Activation::Relu;
use tallow_nn::{Builder, Init, Mode, Result};

use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::padded_conv::{ConvSpec, Padding};

/// A convolution but for its channels.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Height, width.
    pub kernel: (usize, usize),
    pub stride: usize,
    pub padding: Padding,
    pub init: Init,
}

impl Shape {
    /// Stride 1, padded so that the size stays.
    pub const fn same(height: usize, width: usize, init: Init) -> Shape {
        Shape { kernel: (height, width), stride: 1, padding: Padding::Even, init }
    }

    /// A square kernel without padding.
    pub const fn valid(side: usize, stride: usize, init: Init) -> Shape {
        Shape { kernel: (side, side), stride, padding: Padding::Valid, init }
    }
}

/// A convolution without bias, a norm with an eps of 0.001, ReLU.
pub(super) fn conv(inputs: usize, outputs: usize, shape: Shape, b: &Builder) -> Result<ConvNormAct> {
    let Shape { kernel, stride, padding, init } = shape;
    let spec = ConvSpec { kernel, stride, padding, init: Some(init), ..ConvSpec::new(inputs, outputs, 1) };
    ConvNormAct::new(spec, BatchNormOptions { eps: 1e-3, ..Default::default() }, Relu, b)
}

/// Applies the layers one after the other.
pub(super) fn chain(layers: &[ConvNormAct], x: &Tensor, mode: &Mode) -> Result<Tensor> {
    layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, mode))
}
