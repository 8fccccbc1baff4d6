//! The values of Candle tensors as slices, and the order in which they lie.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Storage, Tensor};

use crate::error::{Error, Result};
use crate::tape::Output;

/// Read access to the values of a tensor in host memory.
enum Values<G> {
    /// The tensor's own memory, while the guard of its storage lives.
    Own { storage: G, start: usize, len: usize },
    /// A copy of the memory of another device.
    Copied(Vec<f32>),
}

impl<G: Deref<Target = Storage>> Deref for Values<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Values::Own { storage, start, len } => match &**storage {
                Storage::Cpu(CpuStorage::F32(values)) => &values[*start..start + len],
                _ => &[],
            },
            Values::Copied(values) => values,
        }
    }
}

/// The values of `tensor` in host memory, for the operation `op`, which an error names. The values of a tensor on
/// another device are copied.
///
/// # Errors
/// A tensor of another type than f32, or one that is not contiguous; a copy that fails.
pub fn values<'a>(op: &'static str, tensor: &'a Tensor) -> Result<impl Deref<Target = [f32]> + 'a> {
    if tensor.dtype() != DType::F32 {
        return Err(Error::input(op, "an f32 tensor", format!("{:?}", tensor.dtype())));
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::input(op, "a contiguous tensor", format!("strides {:?}", layout.stride())));
    };
    if matches!(&*storage, Storage::Cpu(_)) {
        return Ok(Values::Own { start, len: end - start, storage });
    }
    drop(storage);
    Ok(Values::Copied(tensor.flatten_all()?.to_vec1()?))
}

/// The values of the vector `tensor`, whose length must be `len`; an error calls it `name`.
///
/// # Errors
/// Another shape; a tensor that is not f32.
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
