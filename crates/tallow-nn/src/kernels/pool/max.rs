//! Max pooling. The place of each maximum is kept as a tap number; the backward gathers, for each
//! input pixel, from the windows over it: every value is written once, in a fixed order.

use candle_core::Tensor;
use rayon::prelude::*;

use super::PoolConfig;
use super::window::{Axis, Span, axes};
use crate::error::Result;
use crate::graph::{Op, record};
use crate::kernels::memory::{Uninit, channels_last, values};
use crate::kernels::vectorised::{select, vectorised};
use crate::tape::{Backward, Output, emit, records};

const OP: &str = "max_pool2d";

/// The largest value under each window; NaN if the window holds one.
///
/// # Shapes
/// `x` `[n, c, h, w]` → `[n, c, h', w']`, channels-last, with
/// `h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1`, rounded up in `ceil_mode`.
///
/// # Errors
/// A window that does not fit; a tensor that is not f32 on the CPU.
///
/// # Source
/// PyTorch's `max_pool2d`: the first of equal values gets the gradient.
pub fn max_pool2d(x: &Tensor, config: PoolConfig) -> Result<Tensor> {
    let images = channels_last(OP, x)?;
    let (n, h, w, c) = images.dims4()?;
    let (rows, cols) = axes(OP, config, (h, w))?;
    let shape = (n, rows.output, cols.output, c);
    let y = if !records(&[x]) {
        let (data, _) = forward::<()>(&images, rows, cols)?;
        Output::channels_last(data, shape).into_tensor()?
    } else if rows.kernel * cols.kernel <= 256 {
        let (data, taps) = forward::<u8>(&images, rows, cols)?;
        emit(Output::channels_last(data, shape), &[x], MaxPool { taps, input: (n, h, w, c), rows, cols })?
    } else {
        let (data, taps) = forward::<u32>(&images, rows, cols)?;
        emit(Output::channels_last(data, shape), &[x], MaxPool { taps, input: (n, h, w, c), rows, cols })?
    };
    Ok(record(y, &[x], || Op::MaxPool(config)))
}

/// How the place of a maximum within its window is kept: not at all in inference.
pub(super) trait Tap: Copy + Default + PartialEq + Send + Sync + 'static {
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

fn forward<T: Tap>(images: &Tensor, rows: Axis, cols: Axis) -> Result<(Vec<f32>, Vec<T>)> {
    let (n, h, w, c) = images.dims4()?;
    let x = values(OP, images)?;
    let len = n * rows.output * cols.output * c;
    let mut taps = vec![T::default(); len];
    let mut data = Uninit::new(len);
    if len > 0 {
        let spans: Vec<Span> = (0..cols.output).map(|ox| cols.inputs(ox)).collect();
        let line = cols.output * c;
        // SAFETY: `max_row` writes every row.
        let out = unsafe { data.as_mut_slice() };
        out.par_chunks_mut(line).zip(taps.par_chunks_mut(line)).enumerate().for_each(|(i, (y, taps))| {
            let (image, oy) = (i / rows.output, i % rows.output);
            let x = &x[image * h * w * c..][..h * w * c];
            max_row(y, taps, x, c, w, rows.inputs(oy), &spans, cols.kernel);
        });
    }
    // SAFETY: written above.
    Ok((unsafe { data.finish() }, taps))
}

vectorised! {
    /// One row of outputs from one image `x`.
    pub(super) fn max_row<T: Tap>(
        y: &mut [f32], taps: &mut [T], x: &[f32], c: usize, w: usize, rows: Span, cols: &[Span], kernel_w: usize,
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
    y: &mut [f32],
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
    y[..N].copy_from_slice(&best);
    for (tap, place) in taps[..N].iter_mut().zip(places) {
        *tap = T::new(place);
    }
}

struct MaxPool<T> {
    taps: Vec<T>,
    /// `(n, h, w, c)`.
    input: (usize, usize, usize, usize),
    rows: Axis,
    cols: Axis,
}

impl<T: Tap> Backward for MaxPool<T> {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = channels_last(OP, grad)?;
        let dy = values(OP, &grad)?;
        let (n, h, w, c) = self.input;
        let mut data = Uninit::new(n * h * w * c);
        if n * c > 0 {
            let spans: Vec<Span> = (0..w).map(|ix| self.cols.outputs(ix)).collect();
            let image = self.rows.output * self.cols.output * c;
            // SAFETY: `gather_row` writes every row.
            let out = unsafe { data.as_mut_slice() };
            out.par_chunks_mut(w * c).enumerate().for_each(|(i, dx)| {
                let at = i / h * image;
                let windows = self.rows.outputs(i % h);
                let (dy, taps) = (&dy[at..at + image], &self.taps[at..at + image]);
                gather_row(dx, dy, taps, c, windows, &spans, self.rows, self.cols);
            });
        }
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        Ok(vec![Some(Output::channels_last(data, self.input).into_tensor()?)])
    }
}

vectorised! {
    /// One row of input gradients: each pixel from the windows over it whose maximum it was.
    fn gather_row<T: Tap>(
        dx: &mut [f32], dy: &[f32], taps: &[T], c: usize, windows: Span, cols: &[Span], rows: Axis, axis: Axis,
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
                            dx[i] = if taps[i] == tap { dy[i] } else { 0.0 };
                        }
                    } else {
                        for i in 0..c {
                            dx[i] += if taps[i] == tap { dy[i] } else { 0.0 };
                        }
                    }
                    first = false;
                }
            }
            if first {
                dx.fill(0.0);
            }
        }
    }
}
