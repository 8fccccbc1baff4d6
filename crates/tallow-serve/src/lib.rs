#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`classify`] | the trait of what can be served |
//! | [`prediction`] | the response for an image |
//! | [`options`] | limits, and who may use the server |
//! | [`server`] | routes |
//! | `sites` | the header `Host`, and requests by pages of other sites |
//! | `predict` | the route `/predict` |
//! | `bodies` | reading bodies in bounded memory |
//! | `batching` | images of several requests in one batch |
//! | `service` | the state that the handlers share |
//! | `connections` | accepting and closing connections |
//! | `monitor` | metrics for Prometheus |
//! | `predictor` | a trained run or an ensemble as a classifier |
//!
//! The model runs on the thread that calls [`serve`]; other threads read requests and decode images.

pub mod classify;
pub mod options;
pub mod prediction;
pub mod server;

mod batching;
mod bodies;
mod connections;
mod error;
mod monitor;
mod predict;
mod predictor;
mod rejection;
mod service;
mod sites;

pub use classify::Classify;
pub use error::{Error, Result};
pub use options::Options;
pub use prediction::{Class, Failed, Prediction, Row};
pub use server::{serve, terminated};
