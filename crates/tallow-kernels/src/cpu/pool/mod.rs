//! Pooling over windows of an image batch: maximum and average.

mod avg;
mod max;
mod window;

use std::ops::Range;

use rayon::prelude::*;

use super::memory::{Slot, Uninit};
use window::{Axis, Span};

pub use avg::{global_avg, global_avg_backward};
pub use max::MaxTaps;

/// A pooling window: (vertical, horizontal) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// Pixels of the window.
    pub kernel: (usize, usize),
    /// Pixels between windows.
    pub stride: (usize, usize),
    /// Pixels added around the image on both sides, at most half the window.
    pub padding: (usize, usize),
    /// Whether a window counts that begins inside the image (or its padding) and ends outside.
    pub ceil_mode: bool,
}

impl PoolConfig {
    /// A square window; the output's size is rounded down.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        PoolConfig { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding), ceil_mode: false }
    }
}

/// The windows over a batch of images.
#[derive(Debug, Clone, Copy)]
pub struct Pooling {
    images: usize,
    channels: usize,
    rows: Axis,
    cols: Axis,
}

impl Pooling {
    /// Windows over images `[n, h, w, c]`.
    ///
    /// # Panics
    /// If a kernel or stride is 0, the padding exceeds half the kernel, or an image is empty or, with its padding,
    /// smaller than the kernel.
    pub fn new([n, h, w, c]: [usize; 4], config: PoolConfig) -> Pooling {
        let PoolConfig { kernel, stride, padding, ceil_mode } = config;
        let rows = Axis::new(h, kernel.0, stride.0, padding.0, ceil_mode);
        let cols = Axis::new(w, kernel.1, stride.1, padding.1, ceil_mode);
        Pooling { images: n, channels: c, rows, cols }
    }

    /// One window over each whole image.
    ///
    /// # Panics
    /// If the images have no pixels.
    pub fn global(shape: [usize; 4]) -> Pooling {
        let size = (shape[1], shape[2]);
        Pooling::new(shape, PoolConfig { kernel: size, stride: size, padding: (0, 0), ceil_mode: false })
    }

    /// The shape of the result, `[n, h, w, c]`.
    pub fn output(&self) -> [usize; 4] {
        [self.images, self.rows.output, self.cols.output, self.channels]
    }

    fn input_len(&self) -> usize {
        self.images * self.rows.input * self.cols.input * self.channels
    }

    fn output_len(&self) -> usize {
        self.output().iter().product()
    }

    /// The gradient of the images: `write_row(dx, outputs, windows, columns)` writes each row of pixels, gathering from
    /// the windows over it. `outputs` are the places of the image's outputs, `windows` the rows of windows over this
    /// row of pixels, `columns` those over each of its pixels. So every value is written once, in a fixed order.
    ///
    /// # Safety
    /// `write_row` writes every slot of `dx`.
    unsafe fn gather(&self, write_row: impl Fn(&mut [Slot], Range<usize>, Span, &[Span]) + Sync) -> Vec<f32> {
        let (h, w, c) = (self.rows.input, self.cols.input, self.channels);
        let mut dx = Uninit::new(self.input_len());
        if self.images * c > 0 {
            let columns: Vec<Span> = (0..w).map(|x| self.cols.outputs(x)).collect();
            let outputs = self.rows.output * self.cols.output * c;
            dx.slots().par_chunks_mut(w * c).enumerate().for_each(|(i, dx)| {
                let image = i / h * outputs;
                write_row(dx, image..image + outputs, self.rows.outputs(i % h), &columns);
            });
        }
        // SAFETY: the rows of all images cover the buffer, and each was written by the contract.
        unsafe { dx.finish() }
    }
}
