//! A tensor of a weights file.

use candle_core::{DType, Tensor};

/// A named tensor of a file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub name: String,
    pub stored: Stored,
}

#[derive(Debug, Clone)]
pub(crate) enum Stored {
    /// Floating point, widened to f32.
    Tensor(Tensor),
    /// Of another type.
    Other { kind: String, shape: Vec<usize> },
}

impl Entry {
    pub fn shape(&self) -> &[usize] {
        match &self.stored {
            Stored::Tensor(tensor) => tensor.dims(),
            Stored::Other { shape, .. } => shape,
        }
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.shape().iter().fold(1, |count, &n| count.saturating_mul(n))
    }
}

/// Whether a file's tensors of this type are read in f32: those of floating-point numbers and of indices (exact below 2²⁴).
pub(super) fn is_widened(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16 | DType::F64 | DType::I64)
}

/// A tensor in f32.
pub(super) fn widened(tensor: Tensor) -> Option<Tensor> {
    is_widened(tensor.dtype()).then(|| tensor.to_dtype(DType::F32).ok()).flatten()
}
