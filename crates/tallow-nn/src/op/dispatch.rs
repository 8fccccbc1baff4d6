//! Dispatch to the device: passes the tensors' values to a kernel.

use candle_core::Tensor;

use crate::context::suspended;
use crate::error::Result;
use crate::memory::values;

/// Runs a CPU kernel on the values of `tensors`, for the operation `op`, which an error names. The tensors are
/// contiguous ([`memory`](crate::memory) makes them so). The values of tensors on another device are copied to host
/// memory: an operation without a kernel for a device is correct there, but slow.
///
/// The kernel may wait in rayon's pool: this thread's tape is hidden meanwhile ([`suspended`]). So the kernel cannot
/// record.
///
/// # Errors
/// A tensor of another type than f32; a copy from the device that fails.
pub fn on_cpu<const N: usize, T>(
    op: &'static str,
    tensors: [&Tensor; N],
    kernel: impl FnOnce([&[f32]; N]) -> T,
) -> Result<T> {
    let guards = tensors.iter().map(|tensor| values(op, tensor)).collect::<Result<Vec<_>>>()?;
    let values = std::array::from_fn(|i| &*guards[i]);
    Ok(suspended(|| kernel(values)))
}
