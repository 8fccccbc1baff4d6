//! The directory of a training run: what it holds, how it is written and read.
//!
//! | module | contents |
//! |---|---|
//! | [`dir`] | the run directory and its files |
//! | [`config`] | the sections of `config.toml` that inference needs |
//! | [`checkpoint`] | named groups of tensors and a position, in one safetensors file |
//! | [`log`] | the progress display, `summary.csv`, TensorBoard's event files |
//!
//! This crate knows neither optimisers nor losses: a program that only evaluates or serves a run does not compile them.
//! The sections of `config.toml` that training alone reads are passed over here.

pub mod atomic;
pub mod checkpoint;
pub mod config;
pub mod dir;
pub mod log;

mod environment;
mod error;
mod lock;
mod pipeline;

pub use atomic::write_atomic;
pub use checkpoint::Checkpoint;
pub use config::{AugmentConfig, DataConfig, EvalConfig, ModelChoice, ProgressiveConfig, RunSections, View};
pub use dir::RunDir;
pub use error::{Error, Result};
pub use lock::RunLock;
pub use pipeline::build_pipeline;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
