//! Which values the next trial has.
//!
//! To add a way: a file with its function, a variant of [`Method`], a line in [`Method::suggest`].

mod grid;
mod random;
mod tpe;

use serde::{Deserialize, Serialize};

use crate::{Point, Space};

/// A trial's point and the score it reached; higher is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Where.
    pub point: Point,
    /// How good; negative infinity for a trial that failed.
    pub score: f64,
}

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Uniformly and independently (Bergstra & Bengio 2012).
    Random,
    /// Every combination of a few values of each parameter.
    Grid,
    /// Where good trials were dense and bad ones were not (Bergstra et al. 2011).
    #[default]
    Tpe,
}

impl Method {
    /// The point of trial number `trial`, or `None` when every point has been tried. A function of its arguments alone.
    pub fn suggest(self, space: &Space, history: &[Observation], seed: u64, trial: u64, grid: usize) -> Option<Point> {
        match self {
            Self::Random => Some(random::suggest(space, seed, trial)),
            Self::Grid => grid::suggest(space, trial, grid),
            Self::Tpe => Some(tpe::suggest(space, history, seed, trial)),
        }
    }
}
