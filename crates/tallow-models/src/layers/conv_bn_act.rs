//! A convolution, a BatchNorm and an activation, in one.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions};
use tallow_nn::op::Activation;
use tallow_nn::{Builder, Mode, Result};

use super::same_pad::{ConvSpec, PaddedConv2d};

/// timm's `ConvNormAct` (`conv`, `bn`), and the same under other names.
#[derive(Debug, Clone)]
pub(crate) struct ConvBnAct {
    pub(crate) conv: PaddedConv2d,
    pub(crate) bn: BatchNorm2d,
    activation: Activation,
}

impl ConvBnAct {
    /// Under the names `conv` and `bn`.
    pub(crate) fn new(spec: ConvSpec, norm: BatchNormOptions, activation: Activation, b: &Builder) -> Result<Self> {
        Self::named(("conv", "bn"), spec, norm, activation, b)
    }

    /// Under the names `names` of convolution and norm.
    pub(crate) fn named(
        names: (&str, &str),
        spec: ConvSpec,
        norm: BatchNormOptions,
        activation: Activation,
        b: &Builder,
    ) -> Result<Self> {
        Ok(ConvBnAct {
            conv: spec.build(&b.pp(names.0))?,
            bn: BatchNorm2d::new(spec.outputs, norm, &b.pp(names.1))?,
            activation,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.bn.forward_conv(&self.conv.conv, &self.conv.pad(x)?, self.activation, mode)
    }
}
