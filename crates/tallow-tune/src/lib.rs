#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`space`] | the search space: ranges and choices by config key |
//! | [`sampler`] | the point of the next trial: random, grid, TPE |
//! | [`pruner`] | which trial to continue, and up to which epoch: none, ASHA, Hyperband |
//! | [`study`] | sampler and pruner over the trials so far |
//! | [`store`] | the trials in an SQLite file, from which a killed study resumes |
//! | [`importance`](mod@importance) | the share of the score's variance that each parameter explains |
//! | `plots` | parallel coordinates, importance and history as SVG; needs the feature `plots` |

pub mod importance;
#[cfg(feature = "plots")]
pub mod plots;
pub mod pruner;
pub mod sampler;
pub mod space;
pub mod store;
pub mod study;

mod error;

/// What random numbers are drawn for, a word of their key: the values of a trial.
const DRAW_VALUES: u64 = 1;
/// What random numbers are drawn for, a word of their key: the trees of the importance forest.
const DRAW_FOREST: u64 = 2;

pub use error::{Error, Result};
pub use importance::importance;
pub use pruner::{Job, PrunerConfig};
pub use sampler::Method;
pub use space::{Domain, Point, Space};
pub use store::{State, Store, Trial};
pub use study::{Next, Study, StudyConfig};
