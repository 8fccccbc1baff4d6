//! Muon's step for matrices: the momentum made orthogonal by Newton-Schulz iterations.
//!
//! The products are f32 kernels of ours, a matrix at a time: correct, and slower than a library's.

use super::norms::{Of, each_chunk, squares};
use super::optimizer::Rule;
use super::run;
use super::tensors::Table;
use crate::device::{Array, Device};
use crate::error::{Result, check, int};
use crate::launch::{Grid, arguments};
use crate::memory::{View, ViewMut};

const OP: &str = "muon";
/// The coefficients of the iteration, which raise small singular values fastest.
const COEFFICIENTS: (f32, f32, f32) = (3.4445, -4.775, 2.0315);

/// A step of all matrices, with `iterations` of Newton-Schulz. The numbers are those of [`Rule::Muon`].
///
/// # Errors
/// A matrix without its three states; a failed launch.
pub fn step<D: Device>(device: &D, table: &Table<D::Memory>, numbers: View<f64>, iterations: usize) -> Result<()> {
    Rule::Muon { momentum: 0.0, nesterov: false }.check(table, numbers)?;
    // SAFETY: the table's arrays exist by its contract, and the states were checked.
    unsafe { each_chunk(device, OP, "muon_momentum", table, arguments![numbers])? };
    let norms = squares(device, table, Of::State(1))?;
    for (i, entry) in table.entries.iter().enumerate().filter(|(_, entry)| entry.len > 0 && entry.gradient != 0) {
        let (len, rows) = (entry.len as usize, entry.rows as usize);
        // SAFETY: states 1 and 2 of the entry have `len` values; there is a norm for each tensor.
        let (direction, mut x, norm) = unsafe {
            (
                View::<f32>::from_raw(entry.state[1], len),
                ViewMut::<f32>::from_raw(entry.state[2], len),
                View::<f64>::from_raw(norms.view().address() + 8 * i as u64, 1),
            )
        };
        let columns = len / rows;
        let arguments = arguments![direction, norm, &x, int(OP, "rows", rows)?, int(OP, "columns", columns)?];
        // SAFETY: as above.
        unsafe { run(device, OP, "muon_normalise", Grid::flat(len), arguments)? };
        orthogonalise(device, &mut x, rows.min(columns), iterations)?;
    }
    // SAFETY: the table's arrays exist by its contract.
    unsafe { each_chunk(device, OP, "muon_step", table, arguments![numbers]) }
}

/// Replaces `x [rows, columns]`, no higher than wide, by an approximation of its orthogonal factor.
fn orthogonalise<D: Device>(device: &D, x: &mut ViewMut<f32>, rows: usize, iterations: usize) -> Result<()> {
    let (a, b, c) = COEFFICIENTS;
    let columns = x.len() / rows;
    let mut gram = Array::<_, f32>::uninit(device, rows * rows)?;
    let mut polynomial = Array::<_, f32>::uninit(device, rows * rows)?;
    let mut next = Array::<_, f32>::uninit(device, rows * columns)?;
    for _ in 0..iterations {
        let (square, wide) = ([rows, rows, columns], [rows, columns, rows]);
        product(device, square, true, (x.as_view(), x.as_view()), (1.0, None), gram.view_mut())?;
        let pair = (gram.view(), gram.view());
        product(device, [rows; 3], true, pair, (c, Some((b, gram.view()))), polynomial.view_mut())?;
        let pair = (polynomial.view(), x.as_view());
        product(device, wide, false, pair, (1.0, Some((a, x.as_view()))), next.view_mut())?;
        // SAFETY: the same values as `x`, which is not used meanwhile.
        let target = unsafe { ViewMut::from_raw(x.address(), x.len()) };
        super::tokens::copy(device, next.view(), target)?;
    }
    Ok(())
}

/// `alpha · a·b + beta · d` with `a [m, k]` and `b [k, n]`, or `[n, k]` if `transposed`, and `(beta, d [m, n])`.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn product<D: Device>(
    device: &D,
    [m, n, k]: [usize; 3],
    transposed: bool,
    (a, b): (View<f32>, View<f32>),
    (alpha, added): (f32, Option<(f32, View<f32>)>),
    y: ViewMut<f32>,
) -> Result<()> {
    check(OP, "a", m * k, a.len())?;
    check(OP, "b", k * n, b.len())?;
    check(OP, "y", m * n, y.len())?;
    check(OP, "d", m * n, added.map_or(m * n, |(_, d)| d.len()))?;
    let (m_int, n_int, k_int) = (int(OP, "m", m)?, int(OP, "n", n)?, int(OP, "k", k)?);
    if m * n == 0 {
        return Ok(());
    }
    let beta = added.map_or(0.0, |(beta, _)| beta);
    let arguments = arguments![a, b, added.map(|(_, d)| d), &y, m_int, n_int, k_int, transposed, alpha, beta];
    let grid = Grid { blocks: [n.div_ceil(16) as u32, m.div_ceil(16) as u32, 1], threads: [16, 16, 1] };
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { run(device, OP, "product", grid, arguments) }
}
