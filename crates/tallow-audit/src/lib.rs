#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! In the order in which an audit uses them:
//!
//! | module | contents |
//! |---|---|
//! | [`samples`] | the samples of all splits in one sequence |
//! | [`measures`] | what is measured in an image: brightness, sharpness, entropy, noise, hashes |
//! | [`scan`](mod@scan) | the measures of every image, in parallel |
//! | [`checks`] | single images: brightness, blur, noise, size, …; rare classes |
//! | [`duplicates`] | exact and near duplicates within a split, leakage across splits |
//! | [`labels`] | wrong labels by confident learning, from out-of-sample probabilities |
//! | [`embedding`] | outliers, near duplicates and order, from embeddings |
//! | [`clean`] | the cleaned dataset as a manifest |
//! | [`report`] | `issues.csv` and a page with images |
//!
//! To add a check of single images, write its measure in `measures/`, a variant of [`IssueKind`] with its row, and a row
//! of the table in `checks/mod.rs`.

pub mod checks;
pub mod clean;
pub mod duplicates;
pub mod embedding;
pub mod labels;
pub mod measures;
pub mod report;
pub mod samples;
pub mod scan;

mod config;
mod error;
mod findings;
mod issue;
mod issue_kind;
mod picture;
mod stats;

pub use config::AuditConfig;
pub use error::{Error, Result};
pub use findings::{Findings, Note};
pub use issue::{Issue, sort};
pub use issue_kind::IssueKind;
pub use measures::Measures;
pub use picture::Picture;
pub use samples::{Samples, Split};
pub use scan::{Scanned, scan};
