//! The input pixels that a window covers, and the windows that cover an input pixel.

/// One axis of a pooling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

/// Pixels `first..end`; the window's tap `tap` covers the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub first: usize,
    pub end: usize,
    pub tap: usize,
}

impl Axis {
    /// The axis of an image of `input` pixels. `ceil_mode` as in [`PoolConfig`](super::PoolConfig).
    pub fn new(input: usize, kernel: usize, stride: usize, padding: usize, ceil_mode: bool) -> Axis {
        assert!(
            kernel > 0 && stride > 0 && padding <= kernel / 2,
            "a window of kernel {kernel}, stride {stride}, padding {padding}"
        );
        assert!(input > 0 && input + 2 * padding >= kernel, "{input} pixels for a window of {kernel}");
        let room = input + 2 * padding - kernel;
        let mut output = if ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
        // A window must begin inside the image or the padding before it.
        if ceil_mode && (output - 1) * stride >= input + padding {
            output -= 1;
        }
        Axis { input, output, kernel, stride, padding }
    }

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

    /// Values that window `out` averages over, as PyTorch counts: the padding if `with_padding`,
    /// what `ceil_mode` adds beyond it never.
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
