//! LayerNorm over the rows of a matrix.

use super::run;
use crate::device::{Array, Device};
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, Slices, arguments, is_wide, width};
use crate::memory::{Storage, View, ViewMut};

const OP: &str = "layer_norm";

/// Rows of `d` values: the sizes as the kernels take them, and whether they move 16 bytes at a time.
fn sizes<T: Storage>(len: usize, d: usize, addresses: &[u64]) -> Result<(i32, i32, bool)> {
    require(OP, d > 0 && len.is_multiple_of(d), "rows of d values", format!("{len} values, d = {d}"))?;
    Ok((int(OP, "rows", len / d)?, int(OP, "d", d)?, is_wide::<T>(d, addresses)))
}

/// `(x − mean) / √(var + eps) · gamma + beta` by each row's statistics; and each row's mean and 1/σ, `[rows, 2]`.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn forward<D: Device, T: Storage>(
    device: &D,
    x: View<T>,
    (gamma, beta): (View<f32>, View<f32>),
    eps: f32,
    y: ViewMut<T>,
    stats: ViewMut<f32>,
) -> Result<()> {
    let d = gamma.len();
    let addresses = [x.address(), y.address(), gamma.address(), beta.address()];
    let (rows, d_int, wide) = sizes::<T>(x.len(), d, &addresses)?;
    check(OP, "beta", d, beta.len())?;
    check(OP, "y", x.len(), y.len())?;
    check(OP, "the statistics", 2 * rows as usize, stats.len())?;
    if rows == 0 {
        return Ok(());
    }
    let arguments = arguments![x, gamma, beta, eps, &y, &stats, rows, d_int, wide];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { run(device, OP, format!("layer_norm_forward{}", T::SUFFIX), Grid::warps(rows as usize), arguments) }
}

/// The gradients, from the statistics of [`forward`] and the gradient of its result; that of `x` if it is needed.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn backward<D: Device, T: Storage>(
    device: &D,
    (x, dy): (View<T>, View<T>),
    gamma: View<f32>,
    stats: View<f32>,
    dx: Option<ViewMut<T>>,
    (dgamma, dbeta): (ViewMut<f32>, ViewMut<f32>),
) -> Result<()> {
    let d = gamma.len();
    let addresses = [x.address(), dy.address(), gamma.address(), dx.as_ref().map_or(0, ViewMut::address)];
    let (rows, d_int, wide) = sizes::<T>(x.len(), d, &addresses)?;
    check(OP, "dy", x.len(), dy.len())?;
    check(OP, "dx", x.len(), dx.as_ref().map_or(x.len(), ViewMut::len))?;
    check(OP, "the statistics", 2 * rows as usize, stats.len())?;
    check(OP, "dgamma", d, dgamma.len())?;
    check(OP, "dbeta", d, dbeta.len())?;
    let slices = Slices::new(rows as usize, d, width::<T>(wide), 1);
    let mut scaled = Array::<_, f32>::uninit(device, slices.count * d)?;
    let mut plain = Array::<_, f32>::uninit(device, slices.count * d)?;
    let partial =
        arguments![x, dy, stats, &scaled.view_mut(), &plain.view_mut(), rows, d_int, slices.rows as i32, wide,];
    let finish = arguments![scaled.view(), plain.view(), slices.count as i32, d_int, &dgamma, &dbeta];
    let input = arguments![x, dy, gamma, stats, dx.as_ref(), rows, d_int, wide];
    // SAFETY: the arrays have the lengths that were checked; the parts hold d values for each slice.
    unsafe {
        run(device, OP, format!("layer_norm_sums{}", T::SUFFIX), slices.grid, partial)?;
        run(device, OP, "layer_norm_sums_finish", Grid::finish(d, 1), finish)?;
        if dx.is_some() && rows > 0 {
            run(device, OP, format!("layer_norm_dx{}", T::SUFFIX), Grid::warps(rows as usize), input)?;
        }
    }
    Ok(())
}
