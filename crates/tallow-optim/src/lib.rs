//! Losses, optimisers, learning-rate schedules, gradient clipping, penalties and weight averages.
//!
//! The crate works on Candle tensors, on the gradients of [`tallow_nn::Tape`] and on the parameters of a
//! [`tallow_nn::ParamStore`]. It needs neither the datasets nor the models nor the training loop of Tallow.
//!
//! | module | contents |
//! |---|---|
//! | [`loss`] | the [`Loss`] trait and the losses, by their name in a config |
//! | [`optimizer`] | the [`Optimizer`] trait, the optimisers, SAM and Lookahead |
//! | [`schedule`] | learning rate, momentum and weight decay as functions of the step |
//! | [`clip`] | gradient clipping by norm, by value and by the norm of the weights |
//! | [`penalty`] | L1 and orthogonality penalties, the max-norm constraint |
//! | [`ema`], [`average`] | averages of the weights: exponential (EMA) and equal (SWA) |
//! | [`pruning_mask`] | weights that stay zero |
//! | [`table`] | config tables whose key `name` chooses a type |
//!
//! # Example
//! One step of AdamW on a linear layer. `examples/two_layers.rs` trains a network.
//! ```
//! use candle_core::{Device, Tensor};
//! use tallow_nn::{Init, ParamStore, Tape};
//! use tallow_optim::loss::{LossConfig, LossContext, Targets};
//! use tallow_optim::optimizer::{AdamWConfig, OptimConfig, OptimMethod};
//! use tallow_optim::Rates;
//!
//! # fn main() -> tallow_optim::Result<()> {
//! let (weight, store) = ParamStore::build(0, &Device::Cpu, |b| b.param("weight", &[2, 3], Init::ZEROS))?;
//! let loss = LossConfig::CrossEntropy(Default::default()).build(&LossContext::default())?;
//! let mut optimizer = OptimConfig::from(OptimMethod::AdamW(AdamWConfig::default())).build(&store, None);
//!
//! let inputs = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
//! let tape = Tape::start();
//! let logits = inputs.matmul(&weight)?;
//! let value = loss.loss(&logits, Targets::of_labels(&[0, 2]))?;
//! let grads = tape.backward(&value)?;
//! optimizer.step(&grads, Rates::new(0.01))?;
//! # Ok(()) }
//! ```

pub mod average;
pub mod clip;
pub mod ema;
pub mod loss;
pub mod optimizer;
pub mod penalty;
pub mod pruning_mask;
pub mod schedule;
pub mod table;

mod error;
mod exact;
mod validity;

pub use average::WeightAverage;
pub use clip::Clipping;
pub use ema::Ema;
pub use error::{Error, Result};
pub use exact::Exact;
pub use loss::{Loss, LossConfig, LossContext, Targets};
pub use optimizer::{OptimConfig, Optimizer};
pub use penalty::Penalties;
pub use pruning_mask::PruningMask;
pub use schedule::{Rates, Schedule, ScheduleConfig};
pub use validity::{InvalidValue, Validity};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
