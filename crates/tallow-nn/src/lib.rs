//! Neural networks on Candle tensors: differentiable operations with fast CPU kernels, layers, and the store of a
//! model's parameters.
//!
//! - [`Tape`]: records a forward pass and computes gradients.
//! - [`ParamStore`] and [`Builder`]: parameters and buffers by name, with seeded initial values.
//! - [`layers`]: parameters with a forward pass. [`op`]: the operations that layers are made of.
//! - [`graph`]: the computation of a model, for exporters.
//! - [`DeviceName`]: the device that tensors live on, by name.
//! - [`Mode`]: whether a pass trains, and its random numbers. [`autocast`]: whether it computes in bf16.

mod context;
mod device;
mod error;
mod init;
mod mode;
mod packed_weights;
mod precision;
mod store;
mod suspended;

pub mod graph;
pub mod layers;
pub mod macs;
pub mod memory;
pub mod op;
pub mod tape;

pub use context::suspended;
pub use device::DeviceName;
pub use error::{Error, Result};
pub use init::{Fan, Init};
pub use mode::Mode;
pub use packed_weights::{KeepPackedWeights, keep_packed_weights};
pub use precision::{Autocast, Precision, autocast, bf16_unit};
pub use store::{Buffer, Builder, ParamStore};
pub use tallow_base::rng;
pub use tape::{Gradients, Tape};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
