//! A convolution, its BatchNorm and an activation.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions};
use tallow_nn::op::Activation;
use tallow_nn::{Builder, Mode, Result};

use super::padded_conv::{ConvSpec, PaddedConv2d};

/// `activation(bn(conv(x)))`; an evaluation that records no gradients folds the norm into the convolution.
///
/// # Source
/// timm's `ConvNormAct`.
#[derive(Debug, Clone)]
pub(crate) struct ConvNormAct {
    pub(crate) conv: PaddedConv2d,
    pub(crate) bn: BatchNorm2d,
    activation: Activation,
}

impl ConvNormAct {
    /// Parameters under the names `conv` and `bn`.
    pub(crate) fn new(spec: ConvSpec, norm: BatchNormOptions, activation: Activation, b: &Builder) -> Result<Self> {
        Self::named(("conv", "bn"), spec, norm, activation, b)
    }

    /// Parameters under the names `names` of convolution and norm.
    pub(crate) fn named(
        names: (&str, &str),
        spec: ConvSpec,
        norm: BatchNormOptions,
        activation: Activation,
        b: &Builder,
    ) -> Result<Self> {
        Ok(ConvNormAct {
            conv: spec.build(&b.pp(names.0))?,
            bn: BatchNorm2d::new(spec.outputs, norm, &b.pp(names.1))?,
            activation,
        })
    }

    /// `[n, in, h, w]` → `[n, out, h', w']`.
    pub(crate) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.bn.forward_conv(&self.conv.conv, &self.conv.pad(x)?, self.activation, mode)
    }

    /// The same with the norm after the convolution in evaluation too.
    pub(crate) fn forward_unfolded(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.bn.forward_act(&self.conv.forward(x)?, self.activation, mode)
    }
}
