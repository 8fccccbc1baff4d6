//! Which input pixels a window covers, and which windows cover an input pixel.

use super::PoolConfig;
use crate::error::{Error, Result};

/// One axis of a pooling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

/// Pixels `first..end`, of which the window's tap `tap` covers the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub first: usize,
    pub end: usize,
    pub tap: usize,
}

impl Axis {
    /// The input pixels under window `out`, cut at the image's border.
    pub fn inputs(&self, out: usize) -> Span {
        let start = out * self.stride;
        let first = start.max(self.padding) - self.padding;
        let end = (start + self.kernel).saturating_sub(self.padding).min(self.input);
        Span { first, end: end.max(first), tap: self.padding.saturating_sub(start) }
    }

    /// The windows over input pixel `pixel`; the first sees it at tap `tap`, each next one
    /// `stride` taps earlier.
    pub fn outputs(&self, pixel: usize) -> Span {
        let at = pixel + self.padding;
        let first = (at + 1).saturating_sub(self.kernel).div_ceil(self.stride);
        let end = (at / self.stride + 1).min(self.output);
        Span { first, end: end.max(first), tap: at.saturating_sub(first * self.stride) }
    }

    /// Values that window `out` averages over, PyTorch's way: the padding counts if `with_padding`,
    /// what `ceil_mode` adds beyond it never does.
    pub fn count(&self, out: usize, with_padding: bool) -> usize {
        if with_padding {
            let start = out * self.stride;
            (start + self.kernel).min(self.input + 2 * self.padding) - start
        } else {
            let span = self.inputs(out);
            span.end - span.first
        }
    }
}

/// The vertical and the horizontal axis of pooling images of `h` × `w` pixels.
pub(super) fn axes(op: &'static str, config: PoolConfig, (h, w): (usize, usize)) -> Result<(Axis, Axis)> {
    let axis = |input, kernel: usize, stride: usize, padding: usize| {
        if kernel == 0 || stride == 0 || padding > kernel / 2 {
            let reason = format!(
                "kernel {kernel}, stride {stride}, padding {padding}: kernel and stride must be positive, \
                 padding at most half the kernel"
            );
            return Err(Error::Config { op, reason });
        }
        if input == 0 || input + 2 * padding < kernel {
            return Err(Error::input(
                op,
                format!("images of at least {kernel} pixels with padding"),
                format!("{h}×{w}"),
            ));
        }
        let room: usize = input + 2 * padding - kernel;
        let mut output = if config.ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
        // A window must begin inside the image or the padding before it.
        if config.ceil_mode && (output - 1) * stride >= input + padding {
            output -= 1;
        }
        Ok(Axis { input, output, kernel, stride, padding })
    };
    Ok((
        axis(h, config.kernel.0, config.stride.0, config.padding.0)?,
        axis(w, config.kernel.1, config.stride.1, config.padding.1)?,
    ))
}
