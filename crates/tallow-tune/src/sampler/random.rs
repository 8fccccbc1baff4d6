//! Random search.

use rand::Rng as _;
use tallow_base::rng::{SEARCH, keyed};

use crate::{DRAW_VALUES, Point, Space};

/// A point with uniform coordinates, independent of each other and of earlier trials.
pub(super) fn suggest(space: &Space, seed: u64, trial: u64) -> Point {
    let mut rng = keyed(seed, trial, DRAW_VALUES, SEARCH);
    Point(space.parameters().map(|(_, domain)| domain.coordinate(rng.random())).collect())
}
