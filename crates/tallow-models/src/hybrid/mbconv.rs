//! The inverted residual of CoAtNet and MaxViT, with a norm before it.

use candle_core::Tensor;
use tallow_nn::layers::{BatchNorm2d, Conv2d, Conv2dOptions, DropPath};
use tallow_nn::op::Activation::{Identity, Sigmoid, Silu};
use tallow_nn::op::{Activation, PoolConfig, avg_pool2d};
use tallow_nn::{Builder, Mode, Result};

use crate::layers::add;
use crate::layers::squeeze_excite::SqueezeExcite;

/// 2×2 average pooling; an odd last row or column is dropped.
pub(super) fn halve(x: &Tensor) -> Result<Tensor> {
    avg_pool2d(x, PoolConfig::square(2, 2, 0), false)
}

/// The shortcut of a block that halves the map: average pooling, and a 1×1 convolution if the channels change.
pub(super) struct Downsample {
    expand: Option<Conv2d>,
}

impl Downsample {
    pub(super) fn new(inputs: usize, outputs: usize, bias: bool, b: &Builder) -> Result<Self> {
        let options = Conv2dOptions { bias, ..Default::default() };
        let expand = || Conv2d::new(inputs, outputs, 1, options, &b.pp("expand"));
        Ok(Downsample { expand: (inputs != outputs).then(expand).transpose()? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = halve(x)?;
        self.expand.as_ref().map_or(Ok(x.clone()), |conv| conv.forward(&x))
    }
}

/// The variants of the inverted residual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MbConvStyle {
    /// Whether average pooling halves the map instead of the stride of the 3×3 convolution.
    pub(super) pool: bool,
    /// Whether the shortcut's convolution and the last one have a bias.
    pub(super) bias: bool,
    /// Whether squeeze-excite precedes the second norm instead of following it.
    pub(super) early_squeeze: bool,
    /// Whether an activation follows the first norm.
    pub(super) activate_first: bool,
    /// The hidden activation of squeeze-excite.
    pub(super) squeeze_activation: Activation,
    /// Hidden channels of the block divided by those of squeeze-excite.
    pub(super) squeeze: usize,
}

/// Norm, 1×1 expansion to four times the channels, 3×3 depthwise, squeeze-excite, 1×1 projection.
///
/// # Source
/// Sandler et al. 2018 with Hu et al. 2017; timm's `MbConvBlock` in maxxvit.
pub(super) struct MbConv {
    shortcut: Option<Downsample>,
    pre_norm: BatchNorm2d,
    conv1_1x1: Conv2d,
    norm1: BatchNorm2d,
    conv2_kxk: Conv2d,
    norm2: BatchNorm2d,
    se: SqueezeExcite,
    conv3_1x1: Conv2d,
    drop_path: DropPath,
    style: MbConvStyle,
}

impl MbConv {
    /// `stride` 1 or 2.
    pub(super) fn new(
        (inputs, outputs): (usize, usize),
        stride: usize,
        style: MbConvStyle,
        drop_path: f32,
        b: &Builder,
    ) -> Result<Self> {
        let hidden = 4 * inputs;
        let plain = |bias| Conv2dOptions { bias, ..Default::default() };
        let stride_of_conv = if style.pool { 1 } else { stride };
        let depthwise = Conv2dOptions { stride: stride_of_conv, padding: 1, groups: hidden, ..Default::default() };
        let norm = |name: &str, channels| BatchNorm2d::new(channels, Default::default(), &b.pp(name));
        let squeeze = |name: &str| {
            let squeezed = hidden / style.squeeze;
            SqueezeExcite::new(hidden, squeezed, ("fc1", "fc2"), style.squeeze_activation, Sigmoid, &b.pp(name))
        };
        let shortcut = || Downsample::new(inputs, outputs, style.bias, &b.pp("shortcut"));
        let shortcut = (stride == 2).then(shortcut).transpose()?;
        let pre_norm = norm("pre_norm", inputs)?;
        let conv1_1x1 = Conv2d::new(inputs, hidden, 1, plain(false), &b.pp("conv1_1x1"))?;
        let norm1 = norm("norm1", hidden)?;
        let conv2_kxk = Conv2d::new(hidden, hidden, 3, depthwise, &b.pp("conv2_kxk"))?;
        // Parameters are defined in the order of the layers.
        let (norm2, se) = if style.early_squeeze {
            let se = squeeze("se_early")?;
            (norm("norm2", hidden)?, se)
        } else {
            (norm("norm2", hidden)?, squeeze("se")?)
        };
        let conv3_1x1 = Conv2d::new(hidden, outputs, 1, plain(style.bias), &b.pp("conv3_1x1"))?;
        let drop_path = DropPath::new(drop_path)?;
        Ok(MbConv { shortcut, pre_norm, conv1_1x1, norm1, conv2_kxk, norm2, se, conv3_1x1, drop_path, style })
    }

    pub(super) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let first = if self.style.activate_first { Silu } else { Identity };
        let mut y = self.pre_norm.forward_act(x, first, mode)?;
        if self.style.pool && self.shortcut.is_some() {
            y = halve(&y)?;
        }
        let y = self.norm1.forward_conv(&self.conv1_1x1, &y, Silu, mode)?;
        let y = if self.style.early_squeeze {
            let y = self.conv2_kxk.forward(&y)?;
            self.norm2.forward_act(&self.se.forward(&y)?, Silu, mode)?
        } else {
            self.se.forward(&self.norm2.forward_conv(&self.conv2_kxk, &y, Silu, mode)?)?
        };
        let y = self.drop_path.forward(&self.conv3_1x1.forward(&y)?, mode)?;
        match &self.shortcut {
            Some(shortcut) => add(&y, &shortcut.forward(x)?),
            None => add(&y, x),
        }
    }
}
