//! The effect of each op on channels. A new op does not compile until it has its rule here.

use tallow_nn::graph::Op;
use tallow_nn::layers::Activation;
use tallow_nn::op::ConvConfig;

/// The effect of an op on the channels of its first input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// It computes each channel by itself and makes zeros of zeros.
    Channelwise,
    /// It scales and shifts each channel by itself: `x, weight, bias, mean, var`.
    Norm,
    /// A convolution: `x, weight, bias?`.
    Convolution(ConvConfig),
    /// A convolution with the norm behind it folded in: `x, weight, scale, shift`.
    FoldedConvolution(ConvConfig),
    /// A product over the channels: `x, weight, bias?`.
    Linear,
    /// It computes each channel by itself if the new shape keeps the channels apart.
    Reshape,
    /// It makes other values than zeros of zeros, mixes channels, or joins them with others: no filter before it can be
    /// left out.
    Blocks,
}

/// The rule of an op.
pub(super) fn rule(op: &Op) -> Rule {
    match op {
        Op::Conv2d(config) => Rule::Convolution(*config),
        Op::Conv2dFolded(config) => Rule::FoldedConvolution(*config),
        Op::Linear => Rule::Linear,
        Op::BatchNorm { .. } => Rule::Norm,
        Op::Activate(activation) => match activation {
            Activation::Identity
            | Activation::Relu
            | Activation::Relu6
            | Activation::Gelu
            | Activation::GeluTanh
            | Activation::Silu
            | Activation::Hardswish => Rule::Channelwise,
            // 1/2 of 0.
            Activation::Sigmoid | Activation::Hardsigmoid => Rule::Blocks,
        },
        Op::MaxPool(_) | Op::AvgPool { .. } | Op::GlobalAvgPool | Op::GlobalMaxPool => Rule::Channelwise,
        Op::Reshape => Rule::Reshape,
        // Sums, products and gates meet other channels; the rest could be followed and is not.
        Op::Add
        | Op::Subtract
        | Op::Multiply
        | Op::Divide
        | Op::ScaleChannels
        | Op::Concat(_)
        | Op::Matmul
        | Op::LayerNorm { .. }
        | Op::Softmax
        | Op::Attention { .. }
        | Op::Affine { .. }
        | Op::Square
        | Op::Sqrt
        | Op::Log
        | Op::MeanLast
        | Op::Permute(_)
        | Op::Narrow { .. }
        | Op::Select { .. }
        | Op::Expand
        | Op::Pad(_) => Rule::Blocks,
    }
}
