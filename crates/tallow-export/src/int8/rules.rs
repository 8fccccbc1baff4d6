//! The quantisation rule of each op. A new op does not compile until it has its rule here.

use tallow_nn::graph::{Op, Value};
use tallow_nn::layers::Activation;
use tallow_nn::op::ConvConfig;

/// The quantisation rule of an op.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// It multiplies by weights, which become signed bytes; its first input is kept in 8 bits.
    Product(Product),
    /// Its result is kept in 8 bits, so that a runtime need not leave integers between two products.
    Kept,
    /// The same where the result is a feature map `[n, c, h, w]`.
    KeptOnMaps,
    /// It is computed in f32.
    Float,
}

/// A layer that multiplies by weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Product {
    /// `x, weight, bias?`.
    Convolution(ConvConfig),
    /// `x, weight, scale, shift`.
    FoldedConvolution(ConvConfig),
    /// `x, weight, bias?`.
    Linear,
}

/// The rule of an op.
pub(crate) fn rule(op: &Op) -> Rule {
    match op {
        Op::Conv2d(config) => Rule::Product(Product::Convolution(*config)),
        Op::Conv2dFolded(config) => Rule::Product(Product::FoldedConvolution(*config)),
        Op::Linear => Rule::Product(Product::Linear),
        Op::Activate(activation) => match activation {
            Activation::Relu => Rule::KeptOnMaps,
            Activation::Identity
            | Activation::Relu6
            | Activation::Gelu
            | Activation::GeluTanh
            | Activation::Silu
            | Activation::Hardswish
            | Activation::Hardsigmoid
            | Activation::Sigmoid => Rule::Float,
        },
        Op::Add | Op::Concat(_) => Rule::KeptOnMaps,
        Op::MaxPool(_) | Op::AvgPool { .. } | Op::GlobalAvgPool => Rule::Kept,
        Op::Matmul
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Softmax
        | Op::Attention { .. }
        | Op::Subtract
        | Op::Multiply
        | Op::Divide
        | Op::Affine { .. }
        | Op::Square
        | Op::Sqrt
        | Op::Log
        | Op::MeanLast
        | Op::ScaleChannels
        | Op::GlobalMaxPool
        | Op::Reshape
        | Op::Permute(_)
        | Op::Narrow { .. }
        | Op::Select { .. }
        | Op::Expand
        | Op::Pad(_) => Rule::Float,
    }
}

/// The layer, its input and its weights, of a node that multiplies an input by constant weights.
pub(crate) fn product(op: &Op, inputs: &[Value]) -> Option<(Product, Value, usize)> {
    match (rule(op), inputs) {
        (_, [Value::Constant(_), ..]) => None,
        (Rule::Product(product), [input, Value::Constant(weight), ..]) => Some((product, *input, *weight)),
        _ => None,
    }
}
