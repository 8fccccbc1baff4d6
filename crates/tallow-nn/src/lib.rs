//! Differentiable building blocks on Candle tensors: fast CPU kernels with a correct backward,
//! the layers made of them, and the store that keeps a model's parameters.
//!
//! - [`Tape`]: records a forward pass, gives gradients.
//! - [`ParamStore`] and [`Builder`]: parameters and buffers by name, seeded initialisers.
//! - [`layers`]: what models are made of. [`kernels`]: what layers are made of. [`ops`]: Candle's own, traced.
//! - [`graph`]: what a model computes, for exporters.
//! - [`Mode`]: whether a pass trains, and its random numbers. [`autocast`]: whether it computes in bf16.

mod error;
mod init;
mod mode;
mod precision;
mod store;

pub mod graph;
pub mod kernels;
pub mod layers;
pub mod macs;
pub mod ops;
pub mod tape;

pub use error::{Error, Result};
pub use init::{Fan, Init};
pub use kernels::conv2d::{KeepPackedWeights, keep_packed_weights};
pub use mode::Mode;
pub use precision::{Autocast, Precision, autocast, bf16_unit};
pub use store::{Buffer, Builder, ParamStore};
pub use tallow_base::rng;
pub use tape::{Gradients, Tape};
