//! Normalisation over the batch (BatchNorm, fused with the activation after it) and over rows (LayerNorm), and sums of
//! columns.

mod batch;
mod columns;
mod layer;

pub use batch::{BatchNorm, BatchNormGradients, moments};
pub(crate) use columns::add_rows;
pub use columns::sums;
pub use layer::{LayerNormGradients, layer_norm, layer_norm_backward};
