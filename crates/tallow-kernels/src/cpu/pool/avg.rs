//! Average pooling, over windows and over the whole image.

use std::ops::Range;

use rayon::prelude::*;

use super::Pooling;
use super::window::{Axis, Span};
use crate::cpu::isa::vectorised;
use crate::cpu::memory::{Slot, Uninit, copy, fill};
use crate::cpu::norm::add_rows;

/// Pixels summed in f32 before their sum is added to the total: bounds the rounding error of large images.
const RUN: usize = 64;

impl Pooling {
    /// The mean of the values under each window. `count_include_pad` says whether the padding's zeros count as values.
    ///
    /// # Panics
    /// If `x` has another length than the images.
    pub fn avg(&self, x: &[f32], count_include_pad: bool) -> Vec<f32> {
        assert_eq!(x.len(), self.input_len(), "the images' length");
        let (c, w) = (self.channels, self.cols.input);
        let image_len = self.rows.input * w * c;
        let (row_weights, col_weights) = self.avg_weights(count_include_pad);
        let mut y = Uninit::new(self.output_len());
        if self.images * c > 0 {
            let spans: Vec<Span> = (0..self.cols.output).map(|ox| self.cols.inputs(ox)).collect();
            y.slots().par_chunks_mut(self.cols.output * c).enumerate().for_each(|(i, y)| {
                let (image, oy) = (i / self.rows.output, i % self.rows.output);
                let x = &x[image * image_len..][..image_len];
                mean_row(y, x, c, w, self.rows.inputs(oy), &spans, row_weights[oy], &col_weights);
            });
        }
        // SAFETY: `mean_row` wrote every row.
        unsafe { y.finish() }
    }

    /// The gradient of the images, from that of [`avg`](Self::avg)'s result.
    ///
    /// # Panics
    /// If `dy` has another length than the result.
    pub fn avg_backward(&self, dy: &[f32], count_include_pad: bool) -> Vec<f32> {
        assert_eq!(dy.len(), self.output_len(), "the result's length");
        let (row_weights, col_weights) = self.avg_weights(count_include_pad);
        let write_row = |dx: &mut [Slot], outputs: Range<usize>, windows: Span, columns: &[Span]| {
            spread_row(dx, &dy[outputs], self.channels, windows, columns, &row_weights, &col_weights);
        };
        // SAFETY: `spread_row` writes every pixel of the row, zeros first.
        unsafe { self.gather(write_row) }
    }

    /// The weights of rows and of columns of windows. A window's weight is their product.
    fn avg_weights(&self, count_include_pad: bool) -> (Vec<f32>, Vec<f32>) {
        let weights = |axis: &Axis| {
            (0..axis.output).map(|out| 1.0 / axis.count(out, count_include_pad).max(1) as f32).collect::<Vec<_>>()
        };
        (weights(&self.rows), weights(&self.cols))
    }
}

/// The mean of each channel over the whole image: `x` `[n, pixels, c]` → `[n, c]`.
///
/// # Panics
/// If `pixels` or `c` is 0 or does not divide `x`.
pub fn global_avg(x: &[f32], pixels: usize, c: usize) -> Vec<f32> {
    let image = pixels * c;
    assert!(image > 0 && x.len().is_multiple_of(image), "images of {pixels} pixels, {c} channels each");
    let mut y = vec![0f32; x.len() / pixels];
    y.par_chunks_mut(c).zip(x.par_chunks(image)).for_each(|(y, x)| mean(y, x));
    y
}

/// The gradient of the images, `[n, pixels, c]`, from that of [`global_avg`]'s result.
///
/// # Panics
/// If `pixels` or `c` is 0, or `c` does not divide `dy`.
pub fn global_avg_backward(dy: &[f32], pixels: usize, c: usize) -> Vec<f32> {
    assert!(pixels > 0 && c > 0 && dy.len().is_multiple_of(c), "{pixels} pixels of {c} channels");
    let scale = 1.0 / pixels as f32;
    let mut dx = Uninit::new(dy.len() * pixels);
    dx.slots().par_chunks_mut(pixels * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
        let pixel: Vec<f32> = dy.iter().map(|d| d * scale).collect();
        dx.chunks_exact_mut(c).for_each(|dx| copy(dx, &pixel));
    });
    // SAFETY: every pixel was written.
    unsafe { dx.finish() }
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

vectorised! {
    fn mean_row(
        y: &mut [Slot], x: &[f32], c: usize, w: usize, rows: Span, cols: &[Span], row_weight: f32, col_weights: &[f32],
    ) {
        for ((y, span), col_weight) in y.chunks_exact_mut(c).zip(cols).zip(col_weights) {
            let y = fill(y, 0.0);
            for iy in rows.first..rows.end {
                for ix in span.first..span.end {
                    let pixel = &x[(iy * w + ix) * c..][..c];
                    for i in 0..c {
                        y[i] += pixel[i];
                    }
                }
            }
            let weight = row_weight * col_weight;
            for y in y.iter_mut() {
                *y *= weight;
            }
        }
    }
}

vectorised! {
    fn spread_row(
        dx: &mut [Slot], dy: &[f32], c: usize, windows: Span, cols: &[Span], row_weights: &[f32], col_weights: &[f32],
    ) {
        let out_w = col_weights.len();
        for (dx, span) in dx.chunks_exact_mut(c).zip(cols) {
            let dx = fill(dx, 0.0);
            for oy in windows.first..windows.end {
                for ox in span.first..span.end {
                    let weight = row_weights[oy] * col_weights[ox];
                    let dy = &dy[(oy * out_w + ox) * c..][..c];
                    for i in 0..c {
                        dx[i] += weight * dy[i];
                    }
                }
            }
        }
    }
}
