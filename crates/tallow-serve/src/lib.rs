//! A classifier behind HTTP.
//!
//! | module | what it does |
//! |---|---|
//! | [`classifier`] | what is served: one trait, which a run or an ensemble has |
//! | [`prediction`] | what is answered for a picture |
//! | [`server`] | the routes, and what bounds them |
//! | `batching` | pictures of many requests to the model together |
//! | `connections` | accepting and closing them |
//! | `monitor` | counts and times for Prometheus |
//!
//! The model computes on the thread that calls [`serve`]; requests are read and pictures decoded on others.

pub mod classifier;
pub mod prediction;
pub mod server;

mod batching;
mod connections;
mod error;
mod monitor;

pub use classifier::Classifier;
pub use error::{Error, Result};
pub use prediction::{Class, Prediction};
pub use server::{Options, serve, terminated};
