//! What is wrong with a labelled image dataset: every finding a scored issue, 0 (worst) to 1, beside what to do about it.
//!
//! Plain functions and data, in the order in which an audit uses them:
//!
//! | module | what it does |
//! |---|---|
//! | [`samples`] | all splits of a dataset as one list |
//! | [`scan`](mod@scan) | every image decoded once, on all cores: hashes and measures |
//! | [`checks`] | dark, bright, blurred, poor in information, odd in size or shape, grey among colour, noisy; rare classes |
//! | [`duplicates`] | equal and nearly equal pictures, within a split and across (leakage) |
//! | [`labels`] | wrong labels by confident learning, from out-of-fold probabilities |
//! | [`embedding`] | outliers, near duplicates and order, from what a network makes of the images |
//! | [`clean`] | what to do about it: a cleaned manifest, the dataset itself untouched |
//! | [`report`] | `issues.csv` and a page with pictures |
//!
//! ```
//! use tallow_audit::{AuditConfig, Samples, checks, duplicates, scan};
//! use tallow_data::{OpenOptions, open};
//!
//! let samples = Samples::new(&open("fashion-mnist-6k", &OpenOptions::default())?);
//! let config = AuditConfig::default();
//! let scanned = scan(&samples.truncated(50), |_| {});
//! let mut issues = checks::find(&samples.truncated(50), &scanned, &config);
//! issues.extend(duplicates::find(&samples.truncated(50), &scanned, &config));
//! assert!(issues.iter().all(|issue| (0.0..=1.0).contains(&issue.score)));
//! # Ok::<(), tallow_data::Error>(())
//! ```
//!
//! A new check of single images is one file in `checks/`, a variant of [`Kind`] with its row, and a line in the table of
//! `checks/mod.rs`.

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
