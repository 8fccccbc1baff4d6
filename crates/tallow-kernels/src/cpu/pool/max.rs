//! Max pooling. The forward pass keeps the place of each maximum as the number of a tap of its window.

use std::ops::Range;

use rayon::prelude::*;

use super::Pooling;
use super::window::{Axis, Span};
use crate::cpu::isa::vectorised;
use crate::cpu::loops::select;
use crate::cpu::memory::{Slot, Uninit, assume_written, copy, fill};

/// The tap of each maximum within its window.
pub struct MaxTaps(Taps);

enum Taps {
    None,
    /// For windows of at most 256 pixels.
    Small(Vec<u8>),
    Large(Vec<u32>),
}

impl Pooling {
    /// The largest value under each window, NaN if the window holds one; the first of equal values. If `keep_taps`,
    /// also their places, which [`max_backward`](Self::max_backward) needs.
    ///
    /// # Panics
    /// If `x` has another length than the images.
    pub fn max(&self, x: &[f32], keep_taps: bool) -> (Vec<f32>, MaxTaps) {
        if !keep_taps {
            (self.max_with_taps::<()>(x).0, MaxTaps(Taps::None))
        } else if self.rows.kernel * self.cols.kernel <= 256 {
            let (y, taps) = self.max_with_taps(x);
            (y, MaxTaps(Taps::Small(taps)))
        } else {
            let (y, taps) = self.max_with_taps(x);
            (y, MaxTaps(Taps::Large(taps)))
        }
    }

    fn max_with_taps<T: Tap>(&self, x: &[f32]) -> (Vec<f32>, Vec<T>) {
        assert_eq!(x.len(), self.input_len(), "the images' length");
        let (rows, cols, c) = (&self.rows, &self.cols, self.channels);
        let image_len = rows.input * cols.input * c;
        let mut taps = vec![T::default(); self.output_len()];
        let mut y = Uninit::new(self.output_len());
        if self.images * c > 0 {
            let spans: Vec<Span> = (0..cols.output).map(|ox| cols.inputs(ox)).collect();
            let line = cols.output * c;
            y.slots().par_chunks_mut(line).zip(taps.par_chunks_mut(line)).enumerate().for_each(|(i, (y, taps))| {
                let (image, oy) = (i / rows.output, i % rows.output);
                let x = &x[image * image_len..][..image_len];
                max_row(y, taps, x, c, cols.input, rows.inputs(oy), &spans, cols.kernel);
            });
        }
        // SAFETY: `max_row` wrote every row.
        (unsafe { y.finish() }, taps)
    }

    /// The gradient of the images, from that of [`max`](Self::max)'s result and the places of the maxima.
    ///
    /// # Panics
    /// If `dy` or `taps` have another length than the result, or no taps were kept.
    pub fn max_backward(&self, taps: &MaxTaps, dy: &[f32]) -> Vec<f32> {
        match &taps.0 {
            Taps::None => panic!("the forward pass kept no taps"),
            Taps::Small(taps) => self.max_gather(taps, dy),
            Taps::Large(taps) => self.max_gather(taps, dy),
        }
    }

    fn max_gather<T: Tap>(&self, taps: &[T], dy: &[f32]) -> Vec<f32> {
        assert_eq!((dy.len(), taps.len()), (self.output_len(), self.output_len()), "the result's length");
        let write_row = |dx: &mut [Slot], outputs: Range<usize>, windows: Span, columns: &[Span]| {
            let (dy, taps) = (&dy[outputs.clone()], &taps[outputs]);
            gather_row(dx, dy, taps, self.channels, windows, columns, self.rows, self.cols);
        };
        // SAFETY: `gather_row` writes every pixel of the row: by the first window over it, or zeros where there is none.
        unsafe { self.gather(write_row) }
    }
}

/// The type of a tap number; none in inference.
trait Tap: Copy + Default + PartialEq + Send + Sync + 'static {
    fn new(tap: u32) -> Self;
}

impl Tap for () {
    #[inline(always)]
    fn new(_: u32) {}
}

impl Tap for u8 {
    #[inline(always)]
    fn new(tap: u32) -> u8 {
        tap as u8
    }
}

impl Tap for u32 {
    #[inline(always)]
    fn new(tap: u32) -> u32 {
        tap
    }
}

vectorised! {
    /// One row of outputs from one image `x`.
    fn max_row<T: Tap>(
        y: &mut [Slot], taps: &mut [T], x: &[f32], c: usize, w: usize, rows: Span, cols: &[Span], kernel_w: usize,
    ) {
        for ((y, taps), span) in y.chunks_exact_mut(c).zip(taps.chunks_exact_mut(c)).zip(cols) {
            let mut done = 0;
            while done + 16 <= c {
                max_pixel::<T, 16>(&mut y[done..], &mut taps[done..], &x[done..], c, w, rows, *span, kernel_w);
                done += 16;
            }
            while done < c {
                max_pixel::<T, 1>(&mut y[done..], &mut taps[done..], &x[done..], c, w, rows, *span, kernel_w);
                done += 1;
            }
        }
    }
}

/// `N` channels of one output, in registers.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn max_pixel<T: Tap, const N: usize>(
    y: &mut [Slot],
    taps: &mut [T],
    x: &[f32],
    c: usize,
    w: usize,
    rows: Span,
    cols: Span,
    kernel_w: usize,
) {
    let mut best = [f32::NEG_INFINITY; N];
    // As wide as the values, so that one comparison chooses both.
    let mut places = [(rows.tap * kernel_w + cols.tap) as u32; N];
    for iy in rows.first..rows.end {
        for ix in cols.first..cols.end {
            let tap = ((rows.tap + iy - rows.first) * kernel_w + cols.tap + ix - cols.first) as u32;
            let pixel = &x[(iy * w + ix) * c..][..N];
            for i in 0..N {
                let value = pixel[i];
                let take = (value > best[i]) | value.is_nan();
                best[i] = f32::from_bits(select(take, value.to_bits(), best[i].to_bits()));
                places[i] = select(take, tap, places[i]);
            }
        }
    }
    copy(&mut y[..N], &best);
    for (tap, place) in taps[..N].iter_mut().zip(places) {
        *tap = T::new(place);
    }
}

vectorised! {
    /// One row of input gradients: each pixel from the windows over it whose maximum it was.
    fn gather_row<T: Tap>(
        dx: &mut [Slot], dy: &[f32], taps: &[T], c: usize, windows: Span, cols: &[Span], rows: Axis, axis: Axis,
    ) {
        for (dx, span) in dx.chunks_exact_mut(c).zip(cols) {
            let mut first = true;
            for oy in windows.first..windows.end {
                let tap_y = windows.tap - (oy - windows.first) * rows.stride;
                for ox in span.first..span.end {
                    let tap_x = span.tap - (ox - span.first) * axis.stride;
                    let tap = T::new((tap_y * axis.kernel + tap_x) as u32);
                    let at = (oy * axis.output + ox) * c;
                    let (dy, taps) = (&dy[at..at + c], &taps[at..at + c]);
                    if first {
                        for i in 0..c {
                            dx[i].write(if taps[i] == tap { dy[i] } else { 0.0 });
                        }
                    } else {
                        // SAFETY: the first window wrote every channel.
                        let dx = unsafe { assume_written(dx) };
                        for i in 0..c {
                            dx[i] += if taps[i] == tap { dy[i] } else { 0.0 };
                        }
                    }
                    first = false;
                }
            }
            if first {
                fill(dx, 0.0);
            }
        }
    }
}
