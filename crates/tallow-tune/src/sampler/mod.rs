//! Samplers: the point of the next trial.
//!
//! To add a sampler, write a file with its function, a variant of [`Method`] and a line in [`Method::suggest`].

mod grid;
mod random;
mod tpe;

use serde::{Deserialize, Serialize};

use crate::{Point, Space};

/// A trial's point and the score it reached; higher is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The trial's point.
    pub point: Point,
    /// The trial's score; negative infinity if it failed.
    pub score: f64,
}

/// The samplers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Uniform and independent draws (Bergstra & Bengio 2012).
    Random,
    /// All combinations of a few values of each parameter.
    Grid,
    /// The tree-structured Parzen estimator: regions where good trials are dense and others are not (Bergstra et al.
    /// 2011).
    #[default]
    Tpe,
}

impl Method {
    /// The point of trial number `trial`, or `None` when the grid has no more points. `grid` is the number of values of
    /// each range of real numbers in grid search. The result depends only on the arguments.
    pub fn suggest(self, space: &Space, history: &[Observation], seed: u64, trial: u64, grid: usize) -> Option<Point> {
        match self {
            Self::Random => Some(random::suggest(space, seed, trial)),
            Self::Grid => grid::suggest(space, trial, grid),
            Self::Tpe => Some(tpe::suggest(space, history, seed, trial)),
        }
    }
}
