//! A convolution with its padding: none, even as in PyTorch, or TensorFlow's SAME.

use candle_core::Tensor;
use tallow_nn::graph::{Op, record};
use tallow_nn::layers::{Conv2d, Conv2dOptions};
use tallow_nn::memory;
use tallow_nn::tape::{Backward, Output, emit};
use tallow_nn::{Builder, Init, Result};

/// The padding of an image with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// `kernel / 2` on each side.
    Even,
    /// TensorFlow's SAME: as many zeros as give ⌈size / stride⌉ outputs, an odd one below and on the right.
    Same,
    /// No zeros.
    Valid,
}

/// The configuration of a convolution. A bias starts at zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvSpec {
    pub inputs: usize,
    pub outputs: usize,
    /// Height, width.
    pub kernel: (usize, usize),
    pub stride: usize,
    pub groups: usize,
    pub bias: bool,
    pub padding: Padding,
    /// Initial values of the weight. By default normal by the fan-out of one group, as in TensorFlow.
    pub init: Option<Init>,
}

impl ConvSpec {
    /// A square kernel with stride 1 and even padding, without groups and bias.
    pub(crate) fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        let kernel = (kernel, kernel);
        ConvSpec { inputs, outputs, kernel, stride: 1, groups: 1, bias: false, padding: Padding::Even, init: None }
    }

    /// The same with one group a channel.
    pub(crate) fn depthwise(channels: usize, kernel: usize) -> Self {
        ConvSpec { groups: channels, ..ConvSpec::new(channels, channels, kernel) }
    }

    pub(crate) fn build(self, b: &Builder) -> Result<PaddedConv2d> {
        let ConvSpec { inputs, outputs, kernel, stride, groups, bias, padding, init } = self;
        // With stride 1 and an odd kernel, even padding and SAME are equal.
        let same = (padding == Padding::Same && stride > 1).then_some((kernel, stride));
        let fan_out = (kernel.0 * kernel.1 * outputs / groups).max(1) as f32;
        let init = init.unwrap_or(Init::Normal((2.0 / fan_out).sqrt()));
        let options = Conv2dOptions { stride, groups, bias, init, ..Default::default() };
        let padding = match padding {
            _ if same.is_some() => (0, 0),
            Padding::Valid => (0, 0),
            Padding::Even | Padding::Same => (kernel.0 / 2, kernel.1 / 2),
        };
        Ok(PaddedConv2d { conv: Conv2d::rectangular(inputs, outputs, kernel, padding, options, b)?, same })
    }
}

/// A convolution with its padding.
#[derive(Debug, Clone)]
pub(crate) struct PaddedConv2d {
    pub(crate) conv: Conv2d,
    /// Kernel and stride of a convolution whose padding depends on the size of the image.
    same: Option<((usize, usize), usize)>,
}

impl PaddedConv2d {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.forward(&self.pad(x)?)
    }

    /// `x` with the padding that [`conv`](Self::conv) does not add itself.
    pub(crate) fn pad(&self, x: &Tensor) -> Result<Tensor> {
        match self.same {
            Some((kernel, stride)) => pad_same(x, kernel, stride),
            None => Ok(x.clone()),
        }
    }
}

/// `[n, c, h, w]` with TensorFlow's SAME padding.
pub(crate) fn pad_same(x: &Tensor, kernel: (usize, usize), stride: usize) -> Result<Tensor> {
    let images = memory::channels_last("pad_same", x)?;
    let (n, h, w, c) = images.dims4()?;
    let total =
        |size: usize, kernel: usize| ((size.div_ceil(stride).max(1) - 1) * stride + kernel).saturating_sub(size);
    let (vertical, horizontal) = (total(h, kernel.0), total(w, kernel.1));
    if vertical == 0 && horizontal == 0 {
        return Ok(x.clone());
    }
    let pad = Pad {
        n,
        inner: (h, w * c),
        outer: (h + vertical, (w + horizontal) * c),
        at: (vertical / 2, horizontal / 2 * c),
        channels: c,
    };
    let data = {
        let values = memory::values("pad_same", &images)?;
        let mut data = vec![0f32; n * pad.outer.0 * pad.outer.1];
        for (inner, outer) in pad.rows() {
            data[outer..outer + pad.inner.1].copy_from_slice(&values[inner..inner + pad.inner.1]);
        }
        data
    };
    let zeros = |total: usize| (total / 2, total - total / 2);
    let step = || Op::Pad(vec![(0, 0), (0, 0), zeros(vertical), zeros(horizontal)]);
    let y = emit(Output::channels_last(data, (n, h + vertical, w + horizontal, c)), &[x], pad)?;
    Ok(record(y, &[x], step))
}

/// Images inside padded images: rows, and values per row, of both.
struct Pad {
    n: usize,
    inner: (usize, usize),
    outer: (usize, usize),
    /// The offset of the inner image.
    at: (usize, usize),
    channels: usize,
}

impl Pad {
    /// The offsets of each row of the inner images, in the inner and in the padded images.
    fn rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.n * self.inner.0).map(|row| {
            let (image, y) = (row / self.inner.0, row % self.inner.0);
            (row * self.inner.1, (image * self.outer.0 + y + self.at.0) * self.outer.1 + self.at.1)
        })
    }
}

impl Backward for Pad {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = memory::channels_last("pad_same", grad)?;
        let values = memory::values("pad_same", &grad)?;
        let mut data = vec![0f32; self.n * self.inner.0 * self.inner.1];
        for (inner, outer) in self.rows() {
            data[inner..inner + self.inner.1].copy_from_slice(&values[outer..outer + self.inner.1]);
        }
        let shape = (self.n, self.inner.0, self.inner.1 / self.channels.max(1), self.channels);
        Ok(vec![Some(Output::channels_last(data, shape).into_tensor(grad.device())?)])
    }
}
