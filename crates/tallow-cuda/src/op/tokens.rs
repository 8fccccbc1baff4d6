//! Sequences of tokens: position embeddings, concatenation, selection. And plain copies.

use super::activation::elementwise;
use super::columns::u32_len;
use crate::device::Device;
use crate::error::{Result, check, require};
use crate::launch::{arguments, is_wide};
use crate::memory::{Storage, View, ViewMut};

/// Each sample of `x [samples, len]` plus the same `added [len]`. The gradient of `added` is a sum of columns.
///
/// # Errors
/// Arrays of other lengths; more than 2³² values; a failed launch.
pub fn add_to_each<D: Device, T: Storage>(device: &D, x: View<T>, added: View<T>, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "add_to_each";
    check(OP, "y", x.len(), y.len())?;
    let len = added.len().max(1);
    require(OP, x.len().is_multiple_of(len), "samples of the length that is added", x.len())?;
    let n = u32_len(OP, x.len())?;
    let wide = is_wide::<T>(len, &[x.address(), added.address(), y.address()]);
    let arguments = arguments![x, added, &y, n, len as u32, wide];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { elementwise::<D, T>(device, "tokens", "add_to_each", x.len(), wide, arguments) }
}

/// Where a range of each sample comes from, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Samples.
    pub samples: usize,
    /// Values of the range.
    pub len: usize,
    /// Values of a sample at the source; 0 if all samples take the same values.
    pub x_stride: usize,
    /// Where the range begins in it.
    pub from: usize,
    /// Values of a sample at the target.
    pub y_stride: usize,
    /// Where the range goes in it.
    pub to: usize,
    /// Whether the rest of the target's sample becomes 0.
    pub fill: bool,
}

/// Copies a range of each sample. A concatenation is a call for each part, a selection one call, its gradient one with
/// `fill`.
///
/// # Errors
/// A range that exceeds its arrays; more than 2³² values; a failed launch.
pub fn copy_range<D: Device, T: Storage>(device: &D, range: Range, x: View<T>, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "copy_range";
    let Range { samples, len, x_stride, from, y_stride, to, fill } = range;
    let source = if x_stride == 0 { from + len } else { samples * x_stride };
    let fits = (x_stride == 0 || from + len <= x_stride) && to + len <= y_stride;
    require(OP, fits, "a range of the samples", format!("{range:?}"))?;
    check(OP, "x", source, x.len())?;
    check(OP, "y", samples * y_stride, y.len())?;
    u32_len(OP, x.len().max(y.len()))?;
    let n = samples * if fill { y_stride } else { len };
    let wide = [len, x_stride, from, y_stride, to].into_iter().all(|size| size.is_multiple_of(T::WIDE))
        && is_wide::<T>(0, &[x.address(), y.address()]);
    let arguments =
        arguments![x, &y, n as u32, len as u32, x_stride as u32, from as u32, y_stride as u32, to as u32, fill, wide,];
    // SAFETY: the range lies within arrays whose lengths were checked.
    unsafe { elementwise::<D, T>(device, "tokens", "copy_range", n, wide, arguments) }
}

/// Copies all values.
///
/// # Errors
/// Arrays of other lengths; more than 2³² values; a failed launch.
pub fn copy<D: Device, T: Storage>(device: &D, x: View<T>, y: ViewMut<T>) -> Result<()> {
    let len = x.len();
    let range = Range { samples: 1, len, x_stride: len, from: 0, y_stride: len, to: 0, fill: false };
    copy_range(device, range, x, y)
}
