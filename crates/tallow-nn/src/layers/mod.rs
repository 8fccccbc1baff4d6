//! Layers: parameters with a forward pass.

mod batch_norm;
mod checkpoint;
mod conv2d;
mod drop_block;
mod dropout;
mod layer_norm;
mod linear;

pub use crate::op::Activation;
pub use batch_norm::{BatchNorm2d, BatchNormOptions, batch_norm_affine};
pub use checkpoint::checkpoint;
pub use conv2d::{Conv2d, Conv2dOptions};
pub use drop_block::DropBlock2d;
pub use dropout::{DropPath, Dropout};
pub use layer_norm::LayerNorm;
pub use linear::Linear;

/// The examples of the page are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/nn.md")]
struct Page;
