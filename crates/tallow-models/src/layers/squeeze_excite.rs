//! Squeeze-and-excitation: a gate for each channel, computed from the means of all channels.

use candle_core::Tensor;
use tallow_nn::op::{Activation, activate, global_avg_pool, reshape, scale_channels};
use tallow_nn::{Builder, Result};

use super::padded_conv::{ConvSpec, PaddedConv2d};

/// `x · gate(expand(activation(reduce(mean(x)))))`, where `reduce` and `expand` are 1×1 convolutions with biases.
///
/// # Source
/// Hu et al. 2017, <https://arxiv.org/abs/1709.01507>; timm's `SqueezeExcite` (`conv_reduce`, `conv_expand`) and
/// `SEModule` (`fc1`, `fc2`).
#[derive(Debug, Clone)]
pub(crate) struct SqueezeExcite {
    reduce: PaddedConv2d,
    expand: PaddedConv2d,
    activation: Activation,
    gate: Activation,
}

impl SqueezeExcite {
    /// `names` are the names of the two convolutions; `gate` is the activation of the second.
    pub(crate) fn new(
        channels: usize,
        reduced: usize,
        names: (&str, &str),
        activation: Activation,
        gate: Activation,
        b: &Builder,
    ) -> Result<Self> {
        let conv = |inputs, outputs, name: &str| {
            ConvSpec { bias: true, ..ConvSpec::new(inputs, outputs, 1) }.build(&b.pp(name))
        };
        Ok(SqueezeExcite {
            reduce: conv(channels, reduced, names.0)?,
            expand: conv(reduced, channels, names.1)?,
            activation,
            gate,
        })
    }

    /// `[n, c, h, w]` → the same.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let means = global_avg_pool(x)?;
        let (n, c) = means.dims2()?;
        let hidden = activate(&self.reduce.forward(&reshape(&means, (n, c, 1, 1))?)?, self.activation)?;
        let gates = activate(&self.expand.forward(&hidden)?, self.gate)?;
        scale_channels(x, &reshape(&gates, (n, c))?)
    }
}
