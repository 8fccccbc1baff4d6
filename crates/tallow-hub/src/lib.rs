//! Files of the Hugging Face Hub: downloaded into the cache that the Python tools share, and verified.
//!
//! - [`Hub::model`]: the weights of a model repository.
//! - [`Hub::dataset`]: the Parquet files or tar shards of a dataset repository.

mod cache;
mod client;
mod configuration;
mod download;
mod error;
mod failure;
mod fetch;
mod hub;
mod names;
mod redirect;
mod request;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use error::{Error, Result};
pub use hub::Hub;
pub use request::{DatasetFiles, ModelFiles};
