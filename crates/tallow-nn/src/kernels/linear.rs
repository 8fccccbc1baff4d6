//! The fully connected layer: three matrix products and a column sum.
//!
//! The products are cut into tiles of a size that depends on the shapes alone, each computed on one
//! thread by the `gemm` crate: results do not depend on the number of threads.

use candle_core::Tensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::memory::{SharedMut, Uninit, contiguous, values};
use super::norm::sums;
use crate::error::{Error, Result};
use crate::tape::{Backward, Output, emit};

const OP: &str = "linear";

/// `x · weightᵀ + bias`.
///
/// # Shapes
/// `x` `[.., in]`, `weight` `[out, in]`, `bias` `[out]` → `[.., out]`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let found = || format!("x {:?}, weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.map(Tensor::dims));
    let expected = "x [.., in], weight [out, in], bias [out]";
    let ([.., inputs], &[outputs, weight_inputs]) = (x.dims(), weight.dims()) else {
        return Err(Error::input(OP, expected, found()));
    };
    let inputs = *inputs;
    if inputs != weight_inputs || bias.is_some_and(|b| b.dims() != [outputs]) {
        return Err(Error::input(OP, expected, found()));
    }
    let op = Linear { x: contiguous(x)?, weight: contiguous(weight)?, bias: bias.is_some() };
    let rows = x.dims()[..x.rank() - 1].iter().product();
    let data = {
        let (x, w) = (values(OP, &op.x)?, values(OP, &op.weight)?);
        let bias = bias.map(contiguous).transpose()?;
        let bias = bias.as_ref().map(|b| values(OP, b)).transpose()?;
        let product = Product { m: rows, n: outputs, k: inputs, lhs: (&x, inputs, 1), rhs: (&w, 1, inputs) };
        product.compute(bias.as_deref())
    };
    let mut shape = x.dims().to_vec();
    shape[x.rank() - 1] = outputs;
    let output = Output::contiguous(data, &shape);
    match bias {
        Some(bias) => emit(output, &[x, weight, bias], op),
        None => emit(output, &[x, weight], op),
    }
}

struct Linear {
    x: Tensor,
    weight: Tensor,
    bias: bool,
}

impl Backward for Linear {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let (x, w, dy) = (values(OP, &self.x)?, values(OP, &self.weight)?, values(OP, &grad)?);
        let (outputs, inputs) = self.weight.dims2()?;
        let rows = dy.len().checked_div(outputs).unwrap_or(0);
        let dx = needs[0].then(|| {
            let product = Product { m: rows, n: inputs, k: outputs, lhs: (&dy, outputs, 1), rhs: (&w, inputs, 1) };
            Output::contiguous(product.compute(None), self.x.dims()).into_tensor()
        });
        let dw = needs[1].then(|| {
            let product = Product { m: outputs, n: inputs, k: rows, lhs: (&dy, 1, outputs), rhs: (&x, inputs, 1) };
            Output::contiguous(product.compute(None), self.weight.dims()).into_tensor()
        });
        let mut grads = vec![dx.transpose()?, dw.transpose()?];
        if self.bias {
            let db = needs[2].then(|| Output::contiguous(sums(&dy, outputs), &[outputs]).into_tensor());
            grads.push(db.transpose()?);
        }
        Ok(grads)
    }
}

/// A matrix product `[m, k] · [k, n]`; each factor is its values, and the distance of its rows and columns.
struct Product<'a> {
    m: usize,
    n: usize,
    k: usize,
    lhs: (&'a [f32], usize, usize),
    rhs: (&'a [f32], usize, usize),
}

impl Product<'_> {
    /// The product, row-major, with `bias` added to each row.
    fn compute(&self, bias: Option<&[f32]>) -> Vec<f32> {
        let Product { m, n, k, .. } = *self;
        if m * n == 0 || k == 0 {
            return match bias {
                Some(bias) => bias.repeat(m),
                None => vec![0.0; m * n],
            };
        }
        assert!(self.lhs.0.len() == m * k && self.rhs.0.len() == k * n && bias.is_none_or(|b| b.len() == n));
        let (tile_m, tile_n) = tile(m, n);
        let (across, down) = (n.div_ceil(tile_n), m.div_ceil(tile_m));
        let mut data = Uninit::new(m * n);
        let out = SharedMut::new(data.as_mut_ptr());
        (0..across * down).into_par_iter().for_each(|i| {
            let (row, col) = (i / across * tile_m, i % across * tile_n);
            let (rows, cols) = (tile_m.min(m - row), tile_n.min(n - col));
            if let Some(bias) = bias {
                for r in row..row + rows {
                    // SAFETY: within the buffer, and this tile is this task's alone.
                    unsafe { out.at(r * n + col).copy_from_nonoverlapping(bias[col..].as_ptr(), cols) };
                }
            }
            let (lhs, lhs_rs, lhs_cs) = self.lhs;
            let (rhs, rhs_rs, rhs_cs) = self.rhs;
            let (start, left, right) = (row * n + col, &lhs[row * lhs_rs..], &rhs[col * rhs_cs..]);
            // SAFETY: the factors hold m·k and k·n values (asserted), so the tile's reads stay inside;
            // its writes stay inside the tile, which is this task's alone. Without a bias the
            // destination is not read.
            unsafe {
                gemm::gemm(
                    rows,
                    cols,
                    k,
                    out.at(start),
                    1,
                    n as isize,
                    bias.is_some(),
                    left.as_ptr(),
                    lhs_cs as isize,
                    lhs_rs as isize,
                    right.as_ptr(),
                    rhs_cs as isize,
                    rhs_rs as isize,
                    1.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        });
        // SAFETY: the tiles cover the matrix.
        unsafe { data.finish() }
    }
}

/// Rows and columns of a tile: some 16 tiles where the matrix is large enough, none so small that
/// packing the factors would cost more than multiplying them.
fn tile(m: usize, n: usize) -> (usize, usize) {
    let (mut rows, mut cols) = (m, n);
    while m.div_ceil(rows) * n.div_ceil(cols) < 16 {
        if rows >= cols && rows > 64 {
            rows = rows.div_ceil(2).next_multiple_of(16);
        } else if cols > 64 {
            cols = cols.div_ceil(2).next_multiple_of(16);
        } else {
            break;
        }
    }
    (rows, cols)
}
