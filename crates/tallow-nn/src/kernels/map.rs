//! Elementwise ops on tensors of any shape, in whatever order their values lie.

use candle_core::Tensor;

use super::memory;
use crate::error::Result;
use crate::tape::Output;

/// A tensor whose values lie without gaps, and how its shape maps to them.
pub(crate) struct Laid {
    /// The values in the order of memory: the tensor itself, or its `[n, h, w, c]` view.
    pub memory: Tensor,
    channels_last: bool,
}

impl Laid {
    /// `tensor` as it lies; a contiguous copy if it has gaps.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        if tensor.rank() == 4 && !tensor.is_contiguous() {
            let memory = tensor.detach().permute((0, 2, 3, 1))?;
            if memory.is_contiguous() {
                return Ok(Laid { memory, channels_last: true });
            }
        }
        Ok(Laid { memory: memory::contiguous(tensor)?, channels_last: false })
    }

    /// Another tensor of the same shape, its values in the order of this one.
    pub fn alike(&self, tensor: &Tensor) -> Result<Tensor> {
        if self.channels_last {
            memory::contiguous(&tensor.detach().permute((0, 2, 3, 1))?)
        } else {
            memory::contiguous(tensor)
        }
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
