//! 2-D convolution: `y[o, i, j] = bias[o] + Σ weight[o, c, u, v] · x[c, stride·i + dilation·u − padding, …]`.
//!
//! Parameters: `weight` `[out, in / groups, kernel, kernel]` and, if asked for, `bias` `[out]`.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tallow_nn::layers::{Conv2d, Conv2dOptions};
//! use tallow_nn::ParamStore;
//! # fn main() -> tallow_nn::Result<()> {
//! let options = Conv2dOptions { stride: 2, padding: 1, ..Default::default() };
//! let (conv, _store) = ParamStore::build(0, &Device::Cpu, |b| Conv2d::new(3, 8, 3, options, &b.pp("conv1")))?;
//! let x = Tensor::zeros((2, 3, 28, 28), DType::F32, &Device::Cpu)?;
//! assert_eq!(conv.forward(&x)?.dims(), [2, 8, 14, 14]);
//! # Ok(()) }
//! ```

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::init::{Fan, Init};
use crate::macs;
use crate::op::{Activation, ConvConfig, conv2d, conv2d_folded};
use crate::store::Builder;

/// Options of a [`Conv2d`], the same vertically and horizontally.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv2dOptions {
    /// Pixels between outputs.
    pub stride: usize,
    /// Zeros around the image, on both sides.
    pub padding: usize,
    /// Pixels between taps.
    pub dilation: usize,
    /// Groups of channels; outputs of a group see the inputs of that group alone. As many groups as channels make a
    /// depthwise convolution.
    pub groups: usize,
    /// Whether there is a bias, which starts at zero.
    pub bias: bool,
    /// The weight's initial values.
    pub init: Init,
}

impl Default for Conv2dOptions {
    /// A convolution of stride 1 without a bias, its weight Kaiming normal by fan-out, as networks with BatchNorm use
    /// it.
    fn default() -> Self {
        Conv2dOptions {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
            bias: false,
            init: Init::KaimingNormal(Fan::Out),
        }
    }
}

/// A 2-D convolution.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[out, in / groups, kernel height, kernel width]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
    config: ConvConfig,
}

impl Conv2d {
    /// Defines the parameters of a convolution from `in_channels` to `out_channels`.
    ///
    /// # Errors
    /// A size that is zero; channels that `groups` does not divide.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        options: Conv2dOptions,
        b: &Builder,
    ) -> Result<Self> {
        let padding = (options.padding, options.padding);
        Conv2d::rectangular(in_channels, out_channels, (kernel, kernel), padding, options, b)
    }

    /// Defines a convolution whose kernel and padding are (height, width) each; `padding` replaces that of the options.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn rectangular(
        in_channels: usize,
        out_channels: usize,
        kernel: (usize, usize),
        padding: (usize, usize),
        options: Conv2dOptions,
        b: &Builder,
    ) -> Result<Self> {
        let Conv2dOptions { stride, padding: _, dilation, groups, bias, init } = options;
        let refuse = |reason| Err(Error::Config { op: "Conv2d", reason });
        if [in_channels, out_channels, kernel.0, kernel.1, stride, dilation, groups].contains(&0) {
            return refuse(format!(
                "channels {in_channels} → {out_channels}, kernel {kernel:?}, stride {stride}, dilation {dilation}, \
                 groups {groups}: each must be positive"
            ));
        }
        if !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
            return refuse(format!("{groups} groups must divide {in_channels} and {out_channels} channels"));
        }
        let weight = b.param("weight", &[out_channels, in_channels / groups, kernel.0, kernel.1], init)?;
        let bias = if bias { Some(b.param("bias", &[out_channels], Init::ZEROS)?) } else { None };
        let config = ConvConfig { stride: (stride, stride), padding, dilation: (dilation, dilation), groups };
        Ok(Conv2d { weight, bias, config })
    }

    /// Convolves an image batch.
    ///
    /// # Shapes
    /// `[n, in, h, w]` → `[n, out, h', w']`, channels-last.
    ///
    /// # Errors
    /// Another channel count; an image smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = conv2d(x, &self.weight, self.bias.as_ref(), self.config)?;
        macs::record(&y, &self.weight);
        Ok(y)
    }

    /// This convolution with another weight of the same shape, and without a bias.
    pub fn with_weight(&self, weight: Tensor) -> Conv2d {
        Conv2d { weight, bias: None, config: self.config }
    }

    /// Computes `activation(scale · (weight ∗ x) + shift)` without the bias: convolution, BatchNorm and activation of
    /// an evaluation. Not recorded.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); a number of scales or shifts other than the outputs.
    pub fn forward_folded(&self, x: &Tensor, scale: &[f32], shift: &[f32], activation: Activation) -> Result<Tensor> {
        let y = conv2d_folded(x, &self.weight, scale, shift, activation, self.config)?;
        macs::record(&y, &self.weight);
        Ok(y)
    }

    /// Stride, padding, dilation and groups.
    pub fn config(&self) -> ConvConfig {
        self.config
    }
}
