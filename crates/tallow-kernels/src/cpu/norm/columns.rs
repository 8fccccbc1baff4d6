//! Sums over the rows of a `[rows, c]` matrix, column by column: the core of every normalisation.
//!
//! Rows are handled in blocks of a fixed size, whatever the number of threads, and the blocks'
//! results are added in order: so the sums are the same on any pool. Within a block, rows of few
//! channels are taken several at a time, so that the inner loop is long enough to vectorise.

use rayon::prelude::*;

use crate::cpu::CHUNK;
use crate::cpu::isa::vectorised;

/// The division of a matrix with `c` columns into blocks of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// Columns.
    pub c: usize,
    /// Values of the rows taken at a time: a multiple of `c`.
    pub wide: usize,
    /// Values of a block: a multiple of `wide`.
    pub block: usize,
}

impl Columns {
    pub fn new(c: usize) -> Self {
        let mut wide = c;
        while wide < 64 {
            wide *= 2;
        }
        Columns { c, wide, block: wide * (CHUNK / wide).max(32) }
    }

    /// Per-column values, repeated over the rows taken at a time.
    pub fn repeat(&self, columns: &[f32]) -> Vec<f32> {
        columns.repeat(self.wide / self.c)
    }

    /// Adds up what a wide row gathered: one value a column.
    pub fn fold(&self, wide: &[f32]) -> Vec<f32> {
        let mut columns = vec![0f32; self.c];
        for row in wide.chunks_exact(self.c) {
            for (sum, value) in columns.iter_mut().zip(row) {
                *sum += value;
            }
        }
        columns
    }
}

/// Mean and biased variance of each column, in one parallel pass over memory.
///
/// Each block's mean and squared deviations from it are found in two passes while it lies in the
/// cache; blocks are combined as Chan, Golub & LeVeque 1979 do, in f64. No cancellation for
/// columns whose mean is large beside their spread.
pub(super) fn block_moments(x: &[f32], columns: Columns) -> (Vec<f32>, Vec<f32>) {
    let c = columns.c;
    let blocks: Vec<(Vec<f32>, Vec<f32>)> = x
        .par_chunks(columns.block)
        .map(|block| {
            let mut wide = vec![0f32; columns.wide];
            add_rows(&mut wide, block);
            let mut mean = columns.fold(&wide);
            let scale = 1.0 / (block.len() / c) as f32;
            mean.iter_mut().for_each(|m| *m *= scale);
            wide.fill(0.0);
            add_squares(&mut wide, block, &columns.repeat(&mean));
            (mean, columns.fold(&wide))
        })
        .collect();
    let rows = x.len() / c;
    let weight = |i: usize| (columns.block.min(x.len() - i * columns.block) / c) as f64;
    let mut mean = vec![0f64; c];
    for (i, (block_mean, _)) in blocks.iter().enumerate() {
        let weight = weight(i);
        mean.iter_mut().zip(block_mean).for_each(|(m, b)| *m += weight * f64::from(*b));
    }
    mean.iter_mut().for_each(|m| *m /= rows as f64);
    let mut var = vec![0f64; c];
    for (i, (block_mean, squares)) in blocks.iter().enumerate() {
        let weight = weight(i);
        for (((v, m), b), s) in var.iter_mut().zip(&mean).zip(block_mean).zip(squares) {
            let offset = f64::from(*b) - m;
            *v += f64::from(*s) + weight * offset * offset;
        }
    }
    (mean.iter().map(|m| *m as f32).collect(), var.iter().map(|v| (v / rows as f64) as f32).collect())
}

/// The sum of each column of `x`, `[rows, c]`. Blocks are summed in f32, their sums in f64.
///
/// # Panics
/// If `c` is 0.
pub fn sums(x: &[f32], c: usize) -> Vec<f32> {
    assert!(c > 0, "no columns");
    let columns = Columns::new(c);
    let blocks: Vec<Vec<f32>> = x
        .par_chunks(columns.block)
        .map(|block| {
            let mut wide = vec![0f32; columns.wide];
            add_rows(&mut wide, block);
            columns.fold(&wide)
        })
        .collect();
    combine(c, blocks.iter().map(Vec::as_slice))
}

/// Adds the blocks' sums, in order, in f64.
pub(super) fn combine<'a>(c: usize, blocks: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut total = vec![0f64; c];
    for block in blocks {
        total.iter_mut().zip(block).for_each(|(t, b)| *t += f64::from(*b));
    }
    total.iter().map(|t| *t as f32).collect()
}

vectorised! {
    /// Adds each wide row of `x` to `sum`.
    pub(crate) fn add_rows(sum: &mut [f32], x: &[f32]) {
        let n = sum.len();
        let mut fours = x.chunks_exact(4 * n);
        for four in &mut fours {
            let (a, b, c, d) = (&four[..n], &four[n..2 * n], &four[2 * n..3 * n], &four[3 * n..4 * n]);
            for i in 0..n {
                sum[i] += (a[i] + b[i]) + (c[i] + d[i]);
            }
        }
        for row in fours.remainder().chunks(n) {
            for (sum, x) in sum.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}

vectorised! {
    /// Adds `(x − mean)²` of each wide row.
    fn add_squares(sum: &mut [f32], x: &[f32], mean: &[f32]) {
        let n = sum.len();
        let mean = &mean[..n];
        let mut fours = x.chunks_exact(4 * n);
        for four in &mut fours {
            let (a, b, c, d) = (&four[..n], &four[n..2 * n], &four[2 * n..3 * n], &four[3 * n..4 * n]);
            for i in 0..n {
                let m = mean[i];
                let (a, b, c, d) = (a[i] - m, b[i] - m, c[i] - m, d[i] - m);
                sum[i] += (a * a + b * b) + (c * c + d * d);
            }
        }
        for row in fours.remainder().chunks(n) {
            for ((sum, x), mean) in sum.iter_mut().zip(row).zip(mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
    }
}
