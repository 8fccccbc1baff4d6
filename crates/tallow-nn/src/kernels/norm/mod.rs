//! Normalisation: over the batch (BatchNorm, fused with the activation after it) and over the last
//! dimension (LayerNorm).

mod batch;
mod columns;
mod layer;

pub use batch::{BatchStats, batch_norm_eval, batch_norm_train};
pub(crate) use columns::{add_rows, sums};
pub use layer::layer_norm;

use candle_core::Tensor;

use super::memory::{contiguous, values};
use crate::error::{Error, Result};

/// The values of a per-channel vector, whose length must be `len`.
fn vector(op: &'static str, name: &str, tensor: &Tensor, len: usize) -> Result<Vec<f32>> {
    if tensor.dims() != [len] {
        return Err(Error::input(op, format!("{name} of shape [{len}]"), format!("{:?}", tensor.dims())));
    }
    Ok(values(op, &contiguous(tensor)?)?.to_vec())
}
