//! The values of Candle tensors as slices, and the order in which they lie.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Storage, Tensor};

use crate::error::{Error, Result};
use crate::tape::Output;

/// Read access to the values of a tensor, while the guard of its storage lives.
struct Values<G> {
    storage: G,
    start: usize,
    len: usize,
}

impl<G: Deref<Target = Storage>> Deref for Values<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let Storage::Cpu(CpuStorage::F32(values)) = &*self.storage else {
            return &[];
        };
        &values[self.start..self.start + self.len]
    }
}

/// The values of `tensor`, for the operation `op`, which an error names.
///
/// # Errors
/// A tensor on another device than the CPU, of another type than f32, or not contiguous.
pub fn values<'a>(op: &'static str, tensor: &'a Tensor) -> Result<impl Deref<Target = [f32]> + 'a> {
    let (storage, layout) = tensor.storage_and_layout();
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        let found = format!("{:?} on {:?}", tensor.dtype(), tensor.device().location());
        return Err(Error::input(op, "an f32 tensor on the CPU", found));
    }
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(Values { start, len: end - start, storage }),
        None => Err(Error::input(op, "a contiguous tensor", format!("strides {:?}", layout.stride()))),
    }
}

/// The values of the vector `tensor`, whose length must be `len`; an error calls it `name`.
///
/// # Errors
/// Another shape; a tensor that is not f32 on the CPU.
pub(crate) fn vector(op: &'static str, name: &str, tensor: &Tensor, len: usize) -> Result<Vec<f32>> {
    if tensor.dims() != [len] {
        return Err(Error::input(op, format!("{name} of shape [{len}]"), format!("{:?}", tensor.dims())));
    }
    Ok(values(op, &contiguous(tensor)?)?.to_vec())
}

/// `tensor` if it is contiguous, a contiguous copy otherwise. Not recorded.
///
/// # Errors
/// When the device cannot hold the copy.
pub fn contiguous(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.detach().contiguous()?)
}

/// A batch of images `[n, c, h, w]` as a contiguous tensor `[n, h, w, c]`, copied unless its values lie so already. Not
/// recorded.
///
/// # Errors
/// Another rank or type.
pub fn channels_last(op: &'static str, images: &Tensor) -> Result<Tensor> {
    if images.rank() != 4 || images.dtype() != DType::F32 {
        return Err(Error::input(op, "[n, c, h, w] in f32", format!("{:?} in {:?}", images.dims(), images.dtype())));
    }
    contiguous(&images.detach().permute((0, 2, 3, 1))?)
}

/// A tensor whose values lie without gaps, row-major or channels-last: what an elementwise operation works on.
pub(crate) struct Dense {
    /// The values in the order of memory: the tensor itself, or its `[n, h, w, c]` view.
    pub memory: Tensor,
    channels_last: bool,
}

impl Dense {
    /// `tensor` as it lies; a contiguous copy if it has gaps.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        if tensor.rank() == 4 && !tensor.is_contiguous() {
            let memory = tensor.detach().permute((0, 2, 3, 1))?;
            if memory.is_contiguous() {
                return Ok(Dense { memory, channels_last: true });
            }
        }
        Ok(Dense { memory: contiguous(tensor)?, channels_last: false })
    }

    /// Another tensor of the same shape, its values in the order of this one.
    pub fn in_same_order(&self, tensor: &Tensor) -> Result<Tensor> {
        if self.channels_last { contiguous(&tensor.detach().permute((0, 2, 3, 1))?) } else { contiguous(tensor) }
    }

    /// A result of the same shape and order.
    pub fn output(&self, data: Vec<f32>) -> Result<Output> {
        Ok(if self.channels_last {
            Output::channels_last(data, self.memory.dims4()?)
        } else {
            Output::contiguous(data, self.memory.dims())
        })
    }
}
