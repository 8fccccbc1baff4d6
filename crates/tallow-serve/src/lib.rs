#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`classifier`] | the trait of what can be served |
//! | [`prediction`] | the response for an image |
//! | [`server`] | routes and limits |
//! | `predict` | the route `/predict` |
//! | `batching` | images of several requests in one batch |
//! | `connections` | accepting and closing connections |
//! | `monitor` | metrics for Prometheus |
//! | `predictor` | a trained run or an ensemble as a classifier |
//!
//! The model runs on the thread that calls [`serve`]; other threads read requests and decode images.

pub mod classifier;
pub mod prediction;
pub mod server;

mod batching;
mod connections;
mod error;
mod monitor;
mod predict;
mod predictor;
mod rejection;

pub use classifier::Classifier;
pub use error::{Error, Result};
pub use prediction::{Class, Prediction};
pub use server::{Options, serve, terminated};
