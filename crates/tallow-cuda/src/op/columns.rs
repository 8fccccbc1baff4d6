//! Sums over rows: gradients of biases, positions and channel factors, the mean over an image; and channel factors.

use super::activation::elementwise;
use super::run;
use crate::device::{Array, Device};
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, Slices, arguments, is_wide, width};
use crate::memory::{Storage, View, ViewMut};

const OP: &str = "column_sums";

/// An array `[groups, rows, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Groups: images, or 1.
    pub count: usize,
    /// Rows of each: pixels, say.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
}

impl Groups {
    fn len(self) -> usize {
        self.count * self.rows * self.channels
    }
}

/// Groups in one launch: the grid's third dimension ends at 65,535.
const GROUPS_AT_ONCE: usize = 32_768;

/// `scale · Σ a·b` over the rows of each group, `Σ a` without `b`: `[groups, c]`.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn sums<D: Device, T: Storage, S: Storage>(
    device: &D,
    groups: Groups,
    a: View<T>,
    b: Option<View<T>>,
    scale: f32,
    sums: ViewMut<S>,
) -> Result<()> {
    let Groups { count, rows, channels: c } = groups;
    check(OP, "a", groups.len(), a.len())?;
    check(OP, "b", groups.len(), b.map_or(a.len(), |b| b.len()))?;
    check(OP, "the sums", count * c, sums.len())?;
    let (rows_int, c_int) = (int(OP, "rows", rows)?, int(OP, "c", c)?);
    if count * c == 0 {
        return Ok(());
    }
    let wide = is_wide::<T>(c, &[a.address(), b.map_or(0, |b| b.address())]);
    for first in (0..count).step_by(GROUPS_AT_ONCE) {
        let some = GROUPS_AT_ONCE.min(count - first);
        let slices = Slices::new(rows, c, width::<T>(wide), some);
        let mut parts = Array::<_, f32>::uninit(device, some * slices.count * c)?;
        // SAFETY: the groups from `first` on lie within arrays whose lengths were checked.
        let (a, b, to) = unsafe {
            let part = |view: View<T>| {
                View::<T>::from_raw(view.address() + (first * rows * c * size_of::<T>()) as u64, some * rows * c)
            };
            let to = ViewMut::<S>::from_raw(sums.address() + (first * c * size_of::<S>()) as u64, some * c);
            (part(a), b.map(part), to)
        };
        let partial = arguments![a, b, &parts.view_mut(), rows_int, c_int, slices.rows as i32, wide];
        let finish = arguments![parts.view(), slices.count as i32, c_int, scale, &to];
        // SAFETY: as above; the parts hold c values for each slice of each group.
        unsafe {
            run(device, "columns", format!("column_sums{}", T::SUFFIX), slices.grid, partial)?;
            run(device, "columns", format!("column_finish{}", S::SUFFIX), Grid::finish(c, some), finish)?;
        }
    }
    Ok(())
}

/// The mean of each channel over the image: `[n, pixels, c]` → `[n, c]`.
///
/// # Errors
/// Images without pixels; arrays of other lengths; a failed launch.
pub fn global_avg<D: Device, T: Storage>(device: &D, images: Groups, x: View<T>, y: ViewMut<T>) -> Result<()> {
    require(OP, images.rows > 0, "images with pixels", images.rows)?;
    sums(device, images, x, None, 1.0 / images.rows as f32, y)
}

/// The gradient of the images of [`global_avg`].
///
/// # Errors
/// Arrays of other lengths; more than 2³² values; a failed launch.
pub fn global_avg_backward<D: Device, T: Storage>(
    device: &D,
    images: Groups,
    dy: View<T>,
    dx: ViewMut<T>,
) -> Result<()> {
    let Groups { count, rows, channels: c } = images;
    check(OP, "dy", count * c, dy.len())?;
    check(OP, "dx", images.len(), dx.len())?;
    let n = u32_len("global_avg", dx.len())?;
    let wide = is_wide::<T>(c, &[dy.address(), dx.address()]);
    let arguments = arguments![dy, &dx, n, (rows * c) as u32, c as u32, 1.0 / rows as f32, wide];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { elementwise::<D, T>(device, "columns", "spread_pixels", dx.len(), wide, arguments) }
}

/// `x` times each group's factors, `[groups, c]`. The factors' gradient is [`sums`] of `dy` and `x`; that of `x` is this
/// function of `dy`.
///
/// # Errors
/// Arrays of other lengths; more than 2³² values; a failed launch.
pub fn scale<D: Device, T: Storage>(
    device: &D,
    groups: Groups,
    x: View<T>,
    factors: View<T>,
    y: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "scale";
    let Groups { count, rows, channels: c } = groups;
    check(OP, "x", groups.len(), x.len())?;
    check(OP, "y", groups.len(), y.len())?;
    check(OP, "the factors", count * c, factors.len())?;
    let n = u32_len(OP, x.len())?;
    let wide = is_wide::<T>(c, &[x.address(), y.address(), factors.address()]);
    let arguments = arguments![x, factors, &y, n, (rows * c) as u32, c as u32, wide];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { elementwise::<D, T>(device, "columns", "scale_channels", x.len(), wide, arguments) }
}

/// A length that a kernel divides with 32 bits.
pub(super) fn u32_len(op: &'static str, len: usize) -> Result<u32> {
    let fits = u32::try_from(len);
    require(op, fits.is_ok(), "fewer than 2^32 values", len)?;
    Ok(fits.unwrap_or(u32::MAX))
}
