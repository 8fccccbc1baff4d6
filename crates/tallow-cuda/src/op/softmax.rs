//! Softmax over rows.

use super::run;
use crate::device::Device;
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, arguments};
use crate::memory::{Storage, View, ViewMut};

/// Rows of `k` values as the kernels take them.
pub(super) fn rows_of(op: &'static str, len: usize, k: usize) -> Result<(i32, i32)> {
    require(op, k > 0 && len.is_multiple_of(k), "rows of k values", format!("{len} values, k = {k}"))?;
    Ok((int(op, "rows", len / k)?, int(op, "k", k)?))
}

/// `e^(x − max) / Σ e^(x − max)` over each row of `k` values.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn forward<D: Device, T: Storage>(device: &D, x: View<T>, k: usize, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "softmax";
    let (rows, k) = rows_of(OP, x.len(), k)?;
    check(OP, "y", x.len(), y.len())?;
    if rows == 0 {
        return Ok(());
    }
    let grid = Grid::warps(rows as usize);
    // SAFETY: both arrays have rows · k values.
    unsafe { run(device, OP, format!("softmax_forward{}", T::SUFFIX), grid, arguments![x, &y, rows, k]) }
}

/// The gradient of `x`, from the result and its gradient.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn backward<D: Device, T: Storage>(device: &D, y: View<T>, dy: View<T>, k: usize, dx: ViewMut<T>) -> Result<()> {
    const OP: &str = "softmax";
    let (rows, k) = rows_of(OP, y.len(), k)?;
    check(OP, "dy", y.len(), dy.len())?;
    check(OP, "dx", y.len(), dx.len())?;
    if rows == 0 {
        return Ok(());
    }
    let grid = Grid::warps(rows as usize);
    // SAFETY: the arrays have rows · k values.
    unsafe { run(device, OP, format!("softmax_backward{}", T::SUFFIX), grid, arguments![y, dy, &dx, rows, k]) }
}
