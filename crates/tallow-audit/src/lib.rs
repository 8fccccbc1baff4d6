#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! In the order in which an audit uses them:
//!
//! | module | contents |
//! |---|---|
//! | [`samples`] | the samples of all splits in one sequence |
//! | [`scan`](mod@scan) | hashes and measures of every image, in parallel |
//! | [`checks`] | single images: brightness, blur, noise, size, …; rare classes |
//! | [`duplicates`] | exact and near duplicates within a split, leakage across splits |
//! | [`labels`] | wrong labels by confident learning, from out-of-sample probabilities |
//! | [`embedding`] | outliers, near duplicates and order, from embeddings |
//! | [`clean`] | the cleaned dataset as a manifest |
//! | [`report`] | `issues.csv` and a page with images |
//!
//! To add a check of single images, write a file in `checks/`, a variant of [`Kind`] with its row, and a line in the
//! table of `checks/mod.rs`.

pub mod checks;
pub mod clean;
pub mod duplicates;
pub mod embedding;
pub mod labels;
pub mod report;
pub mod samples;
pub mod scan;

mod config;
mod error;
mod issue;
mod kind;
mod picture;

pub use config::AuditConfig;
pub use error::{Error, Result};
pub use issue::{Issue, sort};
pub use kind::Kind;
pub use picture::Picture;
pub use samples::{Samples, Split};
pub use scan::{Measures, Scanned, scan};
