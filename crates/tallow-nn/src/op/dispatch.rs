//! Dispatch to the device: passes the tensors' values to a kernel. The CPU is the only device today.

use candle_core::Tensor;

use crate::context::suspended;
use crate::error::Result;
use crate::memory::values;

/// Runs a CPU kernel on the values of `tensors`, for the operation `op`, which an error names. The tensors are
/// contiguous ([`memory`](crate::memory) makes them so).
///
/// The kernel may wait in rayon's pool: this thread's tape is hidden meanwhile ([`suspended`]). So the kernel cannot
/// record.
///
/// # Errors
/// A tensor on another device, which the error names; a tensor of another type than f32.
pub fn on_cpu<const N: usize, T>(
    op: &'static str,
    tensors: [&Tensor; N],
    kernel: impl FnOnce([&[f32]; N]) -> T,
) -> Result<T> {
    let guards = tensors.iter().map(|tensor| values(op, tensor)).collect::<Result<Vec<_>>>()?;
    let values = std::array::from_fn(|i| &*guards[i]);
    Ok(suspended(|| kernel(values)))
}
