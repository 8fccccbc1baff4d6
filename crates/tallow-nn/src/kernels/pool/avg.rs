//! Average pooling; the backward gathers, for each input pixel, from the windows over it.

use candle_core::Tensor;
use rayon::prelude::*;

use super::PoolConfig;
use super::window::{Axis, Span, axes};
use crate::error::Result;
use crate::graph::{Op, record};
use crate::kernels::memory::{Uninit, channels_last, values};
use crate::kernels::vectorised::vectorised;
use crate::tape::{Backward, Output, emit};

const OP: &str = "avg_pool2d";

/// The mean of the values under each window.
///
/// `count_include_pad`: whether the padding's zeros count as values (PyTorch's default is yes).
///
/// # Shapes
/// As [`max_pool2d`](super::max_pool2d).
///
/// # Errors
/// A window that does not fit; a tensor that is not f32 on the CPU.
pub fn avg_pool2d(x: &Tensor, config: PoolConfig, count_include_pad: bool) -> Result<Tensor> {
    let images = channels_last(OP, x)?;
    let (n, h, w, c) = images.dims4()?;
    let (rows, cols) = axes(OP, config, (h, w))?;
    let op = AvgPool {
        input: (n, h, w, c),
        rows,
        cols,
        row_weights: (0..rows.output).map(|oy| 1.0 / rows.count(oy, count_include_pad).max(1) as f32).collect(),
        col_weights: (0..cols.output).map(|ox| 1.0 / cols.count(ox, count_include_pad).max(1) as f32).collect(),
    };
    let data = op.forward(&images)?;
    let y = emit(Output::channels_last(data, (n, rows.output, cols.output, c)), &[x], op)?;
    Ok(record(y, &[x], || Op::AvgPool { config, count_include_pad }))
}

struct AvgPool {
    /// `(n, h, w, c)`.
    input: (usize, usize, usize, usize),
    rows: Axis,
    cols: Axis,
    /// A window's weight is that of its row times that of its column.
    row_weights: Vec<f32>,
    col_weights: Vec<f32>,
}

impl AvgPool {
    fn forward(&self, images: &Tensor) -> Result<Vec<f32>> {
        let x = values(OP, images)?;
        let (n, h, w, c) = self.input;
        let mut data = Uninit::new(n * self.rows.output * self.cols.output * c);
        if n * c > 0 {
            let spans: Vec<Span> = (0..self.cols.output).map(|ox| self.cols.inputs(ox)).collect();
            // SAFETY: `mean_row` writes every row.
            let out = unsafe { data.as_mut_slice() };
            out.par_chunks_mut(self.cols.output * c).enumerate().for_each(|(i, y)| {
                let (image, oy) = (i / self.rows.output, i % self.rows.output);
                let x = &x[image * h * w * c..][..h * w * c];
                mean_row(y, x, c, w, self.rows.inputs(oy), &spans, self.row_weights[oy], &self.col_weights);
            });
        }
        // SAFETY: written above.
        Ok(unsafe { data.finish() })
    }
}

impl Backward for AvgPool {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = channels_last(OP, grad)?;
        let dy = values(OP, &grad)?;
        let (n, h, w, c) = self.input;
        let mut data = Uninit::new(n * h * w * c);
        if n * c > 0 {
            let spans: Vec<Span> = (0..w).map(|ix| self.cols.outputs(ix)).collect();
            let image = self.rows.output * self.cols.output * c;
            // SAFETY: `spread_row` writes every row.
            let out = unsafe { data.as_mut_slice() };
            out.par_chunks_mut(w * c).enumerate().for_each(|(i, dx)| {
                let dy = &dy[i / h * image..][..image];
                let windows = self.rows.outputs(i % h);
                spread_row(dx, dy, c, windows, &spans, &self.row_weights, &self.col_weights);
            });
        }
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        Ok(vec![Some(Output::channels_last(data, self.input).into_tensor()?)])
    }
}

vectorised! {
    fn mean_row(
        y: &mut [f32], x: &[f32], c: usize, w: usize, rows: Span, cols: &[Span], row_weight: f32, col_weights: &[f32],
    ) {
        for ((y, span), col_weight) in y.chunks_exact_mut(c).zip(cols).zip(col_weights) {
            y.fill(0.0);
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
        dx: &mut [f32], dy: &[f32], c: usize, windows: Span, cols: &[Span], row_weights: &[f32], col_weights: &[f32],
    ) {
        let out_w = col_weights.len();
        for (dx, span) in dx.chunks_exact_mut(c).zip(cols) {
            dx.fill(0.0);
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
