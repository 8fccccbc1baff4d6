//! Attention of one head over one image, a block of queries at a time.

use std::cell::RefCell;

use gemm::Parallelism;

use crate::cpu::activation::functions::exp;
use crate::cpu::isa::vectorised;
use crate::cpu::loops::{reduce, sum};
use crate::cpu::memory::SharedMut;

/// Scores that a block of queries works on: they and their gradients should stay in the L2 cache.
const BLOCK_SCORES: usize = 16 * 1024;

/// Rows of one head within a wider matrix.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first value of the first row on.
    values: &'a [f32],
    /// Values from one row to the next.
    stride: usize,
    rows: usize,
    columns: usize,
}

impl<'a> Rows<'a> {
    pub fn new(values: &'a [f32], stride: usize, rows: usize, columns: usize) -> Self {
        assert!(columns <= stride && values.len() >= (rows - 1) * stride + columns);
        Rows { values, stride, rows, columns }
    }

    fn from(self, row: usize) -> *const f32 {
        self.values[row * self.stride..].as_ptr()
    }

    /// Strides of (rows, columns); swapped, those of the transposed matrix.
    fn strides(self) -> (isize, isize) {
        (self.stride as isize, 1)
    }

    fn transposed(self) -> (isize, isize) {
        (1, self.stride as isize)
    }
}

/// Where the rows of one head are written.
#[derive(Clone, Copy)]
pub struct RowsMut {
    start: *mut f32,
    stride: usize,
}

impl RowsMut {
    /// # Safety
    /// `rows` rows of `columns` values lie within the buffer, for as long as this lives, and nothing
    /// else touches them meanwhile.
    pub unsafe fn new(buffer: SharedMut, start: usize, stride: usize) -> Self {
        // SAFETY: by the contract above.
        RowsMut { start: unsafe { buffer.at(start) }, stride }
    }

    fn from(self, row: usize) -> *mut f32 {
        self.start.wrapping_add(row * self.stride)
    }
}

/// The factors of one head: `q` `[nq, dk]`, `k` `[nk, dk]`, `v` `[nk, dv]`.
pub struct Head<'a> {
    pub q: Rows<'a>,
    pub k: Rows<'a>,
    pub v: Rows<'a>,
    pub scale: f32,
}

/// The numbers by which the scores of a query became probabilities: `e^(score − max) · inverse`. The two numbers are
/// kept apart: their sum `max − ln inverse` would round away the denominator of large scores.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuerySoftmax {
    max: f32,
    inverse: f32,
}

/// Buffers that a thread reuses from head to head: two blocks of scores.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    grads: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Head<'_> {
    /// Queries of a block, and values of its scores.
    fn block(&self) -> usize {
        (BLOCK_SCORES / self.k.rows).clamp(16, 256).min(self.q.rows)
    }

    /// Writes the head's output, and each query's [`QuerySoftmax`].
    ///
    /// # Safety
    /// `out` has room for `nq` rows of `dv` values.
    pub unsafe fn forward(&self, out: RowsMut, softmaxes: &mut [QuerySoftmax], bias: Option<&[f32]>) {
        let (nq, nk) = (self.q.rows, self.k.rows);
        let block = self.block();
        let mut scratch = SCRATCH.take();
        scratch.scores.resize(block * nk, 0.0);
        for first in (0..nq).step_by(block) {
            let rows = block.min(nq - first);
            let scores = &mut scratch.scores[..rows * nk];
            self.scores(first, scores, bias);
            let softmaxes = &mut softmaxes[first..first + rows];
            softmax_rows(scores, softmaxes, nk);
            // SAFETY: `out` by the contract; scores are rows × nk, v is nk × dv.
            unsafe {
                product(
                    (rows, self.v.columns, nk),
                    out.from(first),
                    out.stride,
                    false,
                    (scores.as_ptr(), (nk as isize, 1)),
                    (self.v.from(0), self.v.strides()),
                    1.0,
                );
            }
        }
        SCRATCH.set(scratch);
    }

    /// Writes the gradients of q, k and v, and adds that of the scores to `bias_grad`.
    ///
    /// # Safety
    /// `out` has room for `nq` rows of `dk`, `nk` of `dk`, `nk` of `dv` values.
    pub unsafe fn backward(
        &self,
        dy: Rows,
        softmaxes: &[QuerySoftmax],
        bias: Option<&[f32]>,
        [dq, dk, dv]: [RowsMut; 3],
        mut bias_grad: Option<&mut [f32]>,
    ) {
        let (nq, nk) = (self.q.rows, self.k.rows);
        let block = self.block();
        let mut scratch = SCRATCH.take();
        scratch.scores.resize(block * nk, 0.0);
        scratch.grads.resize(block * nk, 0.0);
        for first in (0..nq).step_by(block) {
            let rows = block.min(nq - first);
            let again = first > 0;
            let probabilities = &mut scratch.scores[..rows * nk];
            let grads = &mut scratch.grads[..rows * nk];
            self.scores(first, probabilities, bias);
            exponentials(probabilities, &softmaxes[first..first + rows], nk);
            let (row, column) = ((nk as isize, 1), (1, nk as isize));
            // SAFETY: outputs by the contract; every factor has the rows and columns named.
            unsafe {
                product(
                    (nk, self.v.columns, rows),
                    dv.from(0),
                    dv.stride,
                    again,
                    (probabilities.as_ptr(), column),
                    (dy.from(first), dy.strides()),
                    1.0,
                );
                product(
                    (rows, nk, self.v.columns),
                    grads.as_mut_ptr(),
                    nk,
                    false,
                    (dy.from(first), dy.strides()),
                    (self.v.from(0), self.v.transposed()),
                    1.0,
                );
            }
            softmax_grads(grads, probabilities, nk);
            if let Some(bias_grad) = &mut bias_grad {
                add(&mut bias_grad[first * nk..][..rows * nk], grads);
            }
            // SAFETY: as above.
            unsafe {
                product(
                    (rows, self.k.columns, nk),
                    dq.from(first),
                    dq.stride,
                    false,
                    (grads.as_ptr(), row),
                    (self.k.from(0), self.k.strides()),
                    self.scale,
                );
                product(
                    (nk, self.k.columns, rows),
                    dk.from(0),
                    dk.stride,
                    again,
                    (grads.as_ptr(), column),
                    (self.q.from(first), self.q.strides()),
                    self.scale,
                );
            }
        }
        SCRATCH.set(scratch);
    }

    /// `scale · q·kᵀ + bias` for the queries from `first` on: as many as `scores` has rows.
    fn scores(&self, first: usize, scores: &mut [f32], bias: Option<&[f32]>) {
        let nk = self.k.rows;
        let rows = scores.len() / nk;
        if let Some(bias) = bias {
            scores.copy_from_slice(&bias[first * nk..][..rows * nk]);
        }
        assert!(first + rows <= self.q.rows && self.q.columns == self.k.columns);
        // SAFETY: q has these rows, and both have dk columns; scores are rows × nk.
        unsafe {
            product(
                (rows, nk, self.q.columns),
                scores.as_mut_ptr(),
                nk,
                bias.is_some(),
                (self.q.from(first), self.q.strides()),
                (self.k.from(0), self.k.transposed()),
                self.scale,
            );
        }
    }
}

/// `out = factor · lhs · rhs`, added to what is there if `accumulate`; `sizes` are rows, columns and the
/// length of the contraction, each factor its start and its strides (rows, columns).
///
/// # Safety
/// All three matrices lie within memory that may be accessed so; `out` does not overlap the factors.
unsafe fn product(
    (m, n, k): (usize, usize, usize),
    out: *mut f32,
    out_stride: usize,
    accumulate: bool,
    (lhs, (lhs_row, lhs_column)): (*const f32, (isize, isize)),
    (rhs, (rhs_row, rhs_column)): (*const f32, (isize, isize)),
    factor: f32,
) {
    // SAFETY: by the contract above.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            out_stride as isize,
            accumulate,
            lhs,
            lhs_column,
            lhs_row,
            rhs,
            rhs_column,
            rhs_row,
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

vectorised! {
    /// Replaces scores by probabilities, and notes how.
    fn softmax_rows(scores: &mut [f32], softmaxes: &mut [QuerySoftmax], k: usize) {
        for (row, softmax) in scores.chunks_exact_mut(k).zip(softmaxes) {
            let max = reduce([row], f32::NEG_INFINITY, |[x]| x, |a, b| if b > a { b } else { a });
            for x in row.iter_mut() {
                *x = exp::<M>(*x - max);
            }
            let inverse = 1.0 / sum([row], |[x]| x);
            for x in row.iter_mut() {
                *x *= inverse;
            }
            *softmax = QuerySoftmax { max, inverse };
        }
    }
}

vectorised! {
    /// Replaces scores by the probabilities of the forward pass, with the same bits.
    fn exponentials(scores: &mut [f32], softmaxes: &[QuerySoftmax], k: usize) {
        for (row, QuerySoftmax { max, inverse }) in scores.chunks_exact_mut(k).zip(softmaxes) {
            for x in row.iter_mut() {
                *x = exp::<M>(*x - max) * inverse;
            }
        }
    }
}

vectorised! {
    /// Replaces gradients of probabilities by gradients of scores: `p · (g − Σ p·g)`.
    fn softmax_grads(grads: &mut [f32], probabilities: &[f32], k: usize) {
        for (grads, p) in grads.chunks_exact_mut(k).zip(probabilities.chunks_exact(k)) {
            let dot = sum([&*grads, p], |[g, p]| g * p);
            for i in 0..k {
                grads[i] = p[i] * (grads[i] - dot);
            }
        }
    }
}

vectorised! {
    /// Adds `values` to `total`.
    fn add(total: &mut [f32], values: &[f32]) {
        for (total, value) in total.iter_mut().zip(values) {
            *total += value;
        }
    }
}
