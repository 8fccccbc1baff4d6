//! Squeeze-and-excitation: each channel times a gate that the means of all channels decide.

use candle_core::Tensor;
use tallow_nn::op::{Activation, activate, global_avg_pool, reshape, scale_channels};
use tallow_nn::{Builder, Result};

use super::same_pad::{ConvSpec, PaddedConv2d};

/// Two 1×1 convolutions with biases on the means.
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
    /// `names` are those of the two convolutions; `gate` bounds what they give.
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
