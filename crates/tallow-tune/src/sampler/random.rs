//! Uniform draws.

use rand::Rng as _;

use crate::rng::{SAMPLE, keyed};
use crate::{Point, Space};

/// Each coordinate uniform, independent of the others and of what came before.
pub(super) fn suggest(space: &Space, seed: u64, trial: u64) -> Point {
    let mut rng = keyed(seed, trial, SAMPLE);
    Point(space.parameters().map(|(_, domain)| domain.coordinate(rng.random())).collect())
}
