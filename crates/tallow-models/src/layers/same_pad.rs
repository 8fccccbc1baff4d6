//! Convolutions of the mobile families: padded evenly as PyTorch does, or as TensorFlow's SAME.

use candle_core::Tensor;
use tallow_nn::graph::{Op, record};
use tallow_nn::layers::{Conv2d, Conv2dOptions};
use tallow_nn::memory;
use tallow_nn::tape::{Backward, Output, emit};
use tallow_nn::{Builder, Init, Result};

/// Zeros around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// `kernel / 2` on each side.
    Even,
    /// TensorFlow's SAME: as many as give ⌈size / stride⌉ outputs, the odd one below and on the right.
    Same,
}

/// What a convolution is; its weight starts normal by fan-out, as TensorFlow's do, its bias at zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvSpec {
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub groups: usize,
    pub bias: bool,
    pub padding: Padding,
}

impl ConvSpec {
    /// Of stride 1, without groups or bias, padded evenly.
    pub(crate) fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        ConvSpec { inputs, outputs, kernel, stride: 1, groups: 1, bias: false, padding: Padding::Even }
    }

    pub(crate) fn build(self, b: &Builder) -> Result<PaddedConv2d> {
        let ConvSpec { inputs, outputs, kernel, stride, groups, bias, padding } = self;
        // With stride 1 and an odd kernel the two are the same.
        let dynamic = (padding == Padding::Same && stride > 1).then_some((kernel, stride));
        let fan_out = (kernel * kernel * outputs / groups).max(1) as f32;
        let options = Conv2dOptions {
            stride,
            padding: if dynamic.is_some() { 0 } else { kernel / 2 },
            groups,
            bias,
            init: Init::Normal((2.0 / fan_out).sqrt()),
            ..Default::default()
        };
        Ok(PaddedConv2d { conv: Conv2d::new(inputs, outputs, kernel, options, b)?, same: dynamic })
    }
}

/// A convolution with its padding.
#[derive(Debug, Clone)]
pub(crate) struct PaddedConv2d {
    pub(crate) conv: Conv2d,
    /// Kernel and stride, where the padding depends on the size of the image.
    same: Option<(usize, usize)>,
}

impl PaddedConv2d {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.forward(&self.pad(x)?)
    }

    /// `x` with the zeros that [`conv`](Self::conv) does not put around it itself.
    pub(crate) fn pad(&self, x: &Tensor) -> Result<Tensor> {
        match self.same {
            Some((kernel, stride)) => pad_same(x, kernel, stride),
            None => Ok(x.clone()),
        }
    }
}

/// `[n, c, h, w]` with the zeros around that TensorFlow's SAME puts there.
fn pad_same(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let images = memory::channels_last("pad_same", x)?;
    let (n, h, w, c) = images.dims4()?;
    let total = |size: usize| ((size.div_ceil(stride).max(1) - 1) * stride + kernel).saturating_sub(size);
    let (vertical, horizontal) = (total(h), total(w));
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

/// Images inside larger ones: rows, and values a row, of both.
struct Pad {
    n: usize,
    inner: (usize, usize),
    outer: (usize, usize),
    /// Where the inner one begins.
    at: (usize, usize),
    channels: usize,
}

impl Pad {
    /// Where each row of the inner images begins, in the inner and in the outer ones.
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
        Ok(vec![Some(Output::channels_last(data, shape).into_tensor()?)])
    }
}
