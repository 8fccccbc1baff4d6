//! Files of the Hugging Face Hub: found, fetched into the cache that Python's tools share, and checked.
//!
//! - [`Hub::fetch`]: the weights of a model repository.
//! - [`Hub::dataset`]: the Parquet files or tar shards of a dataset repository.

mod choose;
mod error;
mod hub;

pub use error::{Error, Result};
pub use hub::{Fetched, Hub, Repository};
