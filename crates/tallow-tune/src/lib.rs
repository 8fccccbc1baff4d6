//! Search over hyper-parameters.
//!
//! | module | what it does |
//! |---|---|
//! | [`space`] | what is searched: ranges and choices, by the name of a config key |
//! | [`sampler`] | which values the next trial has: random, grid, TPE |
//! | [`pruner`] | which trial trains on, and how far: none, ASHA, Hyperband |
//! | [`study`] | both together, over the trials so far |
//! | [`store`] | the trials in an SQLite file, from which a study goes on after a kill |
//! | [`importance`](mod@importance) | how much of the outcome each parameter explains |
//! | [`plots`] | parallel coordinates, importance, history |
//!
//! It knows nothing of networks: a trial is a point of the space and the scores it reached after so many epochs.

pub mod importance;
pub mod plots;
pub mod pruner;
pub mod sampler;
pub mod space;
pub mod store;
pub mod study;

mod error;
mod rng;

pub use error::{Error, Result};
pub use importance::importance;
pub use pruner::{Job, PrunerConfig};
pub use sampler::Method;
pub use space::{Domain, Point, Space};
pub use store::{State, Store, Trial};
pub use study::{Next, Study, StudyConfig};
