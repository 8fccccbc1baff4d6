//! Dropout and drop path, with the CPU's masks.

use super::activation::elementwise;
use super::run;
use crate::device::Device;
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, arguments, is_wide};
use crate::memory::{Storage, View, ViewMut};

/// Words of the generator's key beside the seed and the step, which lie on the device.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// The seed and the step.
    pub seed_and_step: View<'a, u64>,
    /// The number of the layer in its pass.
    pub layer: u64,
    /// What the numbers are for: `tallow_base::rng::DROPOUT`.
    pub purpose: u64,
}

fn check_draw(op: &'static str, draw: &Draw, p: f32) -> Result<()> {
    check(op, "seed and step", 2, draw.seed_and_step.len())?;
    require(op, (0.0..=1.0).contains(&p), "a probability", p)
}

fn scale_of(p: f32) -> f32 {
    if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 }
}

/// Zeroes each value with probability `p`, in steps of 2⁻¹⁶, and scales the others by `1 / (1 − p)`; and which are kept, a
/// bit each, 32 in a word.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn forward<D: Device, T: Storage>(
    device: &D,
    x: View<T>,
    p: f32,
    draw: Draw,
    y: ViewMut<T>,
    kept: ViewMut<u32>,
) -> Result<()> {
    const OP: &str = "dropout";
    check_draw(OP, &draw, p)?;
    check(OP, "y", x.len(), y.len())?;
    check(OP, "the bits", x.len().div_ceil(32), kept.len())?;
    let Draw { seed_and_step, layer, purpose } = draw;
    let limit = (p * 65536.0).round() as u32;
    let arguments = arguments![x, &y, &kept, seed_and_step, layer, purpose, limit, scale_of(p), x.len() as u64];
    if x.is_empty() {
        return Ok(());
    }
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { run(device, OP, format!("dropout_forward{}", T::SUFFIX), Grid::flat(x.len().div_ceil(32)), arguments) }
}

/// The gradient of `x`, from the bits of [`forward`].
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn backward<D: Device, T: Storage>(device: &D, dy: View<T>, kept: View<u32>, p: f32, dx: ViewMut<T>) -> Result<()> {
    const OP: &str = "dropout";
    check(OP, "dx", dy.len(), dx.len())?;
    check(OP, "the bits", dy.len().div_ceil(32), kept.len())?;
    if dy.is_empty() {
        return Ok(());
    }
    let arguments = arguments![dy, kept, &dx, scale_of(p), dy.len() as u64];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { run(device, OP, format!("dropout_backward{}", T::SUFFIX), Grid::flat(dy.len().div_ceil(32)), arguments) }
}

/// The factor of each sample of a drop path: 0 with probability `p`, else `1 / (1 − p)`.
///
/// # Errors
/// A `p` that is no probability; a failed launch.
pub fn drop_path_factors<D: Device>(device: &D, p: f32, draw: Draw, factors: ViewMut<f32>) -> Result<()> {
    const OP: &str = "drop_path";
    check_draw(OP, &draw, p)?;
    let Draw { seed_and_step, layer, purpose } = draw;
    let limit = f64::from(p) * 4_294_967_296.0;
    let n = int(OP, "samples", factors.len())?;
    let arguments = arguments![&factors, seed_and_step, layer, purpose, limit, scale_of(p), n];
    let grid = Grid::flat(factors.len().div_ceil(16));
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { run(device, "dropout", "drop_path_factors", grid, arguments) }
}

/// Each sample times its factor; zeros where that is 0. It is its own gradient.
///
/// # Errors
/// Samples that do not divide `x`; arrays of other lengths; a failed launch.
pub fn scale_samples<D: Device, T: Storage>(device: &D, x: View<T>, factors: View<f32>, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "drop_path";
    check(OP, "y", x.len(), y.len())?;
    if x.is_empty() {
        return Ok(());
    }
    let len = x.len().checked_div(factors.len()).unwrap_or(0);
    require(OP, len * factors.len() == x.len(), "samples of one length", x.len())?;
    let wide = is_wide::<T>(len, &[x.address(), y.address()]);
    let arguments = arguments![x, factors, &y, x.len() as u64, super::columns::u32_len(OP, len)?, wide];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { elementwise::<D, T>(device, "dropout", "scale_samples", x.len(), wide, arguments) }
}
