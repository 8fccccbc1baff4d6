//! The mean and the maximum of each channel over the whole image: what stands before a classifier.

use candle_core::Tensor;
use rayon::prelude::*;

use super::max::max_row;
use super::window::Span;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::kernels::memory::{Uninit, channels_last, contiguous, values};
use crate::kernels::norm::add_rows;
use crate::tape::{Backward, Output, emit};

/// Pixels summed in f32 before their sum is added to the total: bounds the rounding error of large images.
const RUN: usize = 64;

/// Mean over height and width.
///
/// # Shapes
/// `x` `[n, c, h, w]` → `[n, c]`.
///
/// # Errors
/// Images without pixels; a tensor that is not f32 on the CPU.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_avg_pool";
    let images = non_empty(OP, x)?;
    let (n, h, w, c) = images.dims4()?;
    let x_values = values(OP, &images)?;
    let mut data = vec![0f32; n * c];
    if n * c > 0 {
        data.par_chunks_mut(c).zip(x_values.par_chunks(h * w * c)).for_each(|(y, x)| mean(y, x));
    }
    let y = emit(Output::contiguous(data, &[n, c]), &[x], GlobalAvg { input: (n, h, w, c) })?;
    Ok(record(y, &[x], || Op::GlobalAvgPool))
}

/// Maximum over height and width; NaN if there is one.
///
/// # Shapes
/// `x` `[n, c, h, w]` → `[n, c]`.
///
/// # Errors
/// Images without pixels; a tensor that is not f32 on the CPU.
pub fn global_max_pool(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_max_pool";
    let images = non_empty(OP, x)?;
    let (n, h, w, c) = images.dims4()?;
    let x_values = values(OP, &images)?;
    let mut data = vec![f32::NEG_INFINITY; n * c];
    let mut places = vec![0u32; n * c];
    if n * c > 0 {
        data.par_chunks_mut(c)
            .zip(places.par_chunks_mut(c))
            .zip(x_values.par_chunks(h * w * c))
            .for_each(|((y, places), x)| max_row(y, places, x, c, w, whole(h), &[whole(w)], w));
    }
    let y = emit(Output::contiguous(data, &[n, c]), &[x], GlobalMax { places, input: (n, h, w, c) })?;
    Ok(record(y, &[x], || Op::GlobalMaxPool))
}

/// A window over all of an axis.
fn whole(len: usize) -> Span {
    Span { first: 0, end: len, tap: 0 }
}

fn non_empty(op: &'static str, x: &Tensor) -> Result<Tensor> {
    let images = channels_last(op, x)?;
    if images.dim(1)? * images.dim(2)? == 0 {
        return Err(Error::input(op, "images with pixels", format!("{:?}", x.dims())));
    }
    Ok(images)
}

fn mean(y: &mut [f32], x: &[f32]) {
    let c = y.len();
    let mut run = vec![0f32; c];
    for pixels in x.chunks(RUN * c) {
        run.fill(0.0);
        add_rows(&mut run, pixels);
        y.iter_mut().zip(&run).for_each(|(y, run)| *y += run);
    }
    let scale = 1.0 / (x.len() / c) as f32;
    y.iter_mut().for_each(|y| *y *= scale);
}

struct GlobalAvg {
    /// `(n, h, w, c)`.
    input: (usize, usize, usize, usize),
}

impl Backward for GlobalAvg {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let dy = values("global_avg_pool", &grad)?;
        let (n, h, w, c) = self.input;
        let mut data = Uninit::new(n * h * w * c);
        let scale = 1.0 / (h * w) as f32;
        if n * c > 0 {
            // SAFETY: every pixel is written.
            let out = unsafe { data.as_mut_slice() };
            out.par_chunks_mut(h * w * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
                let pixel: Vec<f32> = dy.iter().map(|d| d * scale).collect();
                dx.chunks_exact_mut(c).for_each(|dx| dx.copy_from_slice(&pixel));
            });
        }
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        Ok(vec![Some(Output::channels_last(data, self.input).into_tensor()?)])
    }
}

struct GlobalMax {
    /// The pixel of each maximum, by sample and channel.
    places: Vec<u32>,
    /// `(n, h, w, c)`.
    input: (usize, usize, usize, usize),
}

impl Backward for GlobalMax {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let dy = values("global_max_pool", &grad)?;
        let (n, h, w, c) = self.input;
        let mut data = vec![0f32; n * h * w * c];
        if n * c > 0 {
            let tasks = data.par_chunks_mut(h * w * c).zip(self.places.par_chunks(c)).zip(dy.par_chunks(c));
            tasks.for_each(|((dx, places), dy)| {
                for (channel, (place, dy)) in places.iter().zip(dy).enumerate() {
                    dx[*place as usize * c + channel] = *dy;
                }
            });
        }
        Ok(vec![Some(Output::channels_last(data, self.input).into_tensor()?)])
    }
}
