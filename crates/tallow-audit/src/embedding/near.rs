//! Near duplicates by embedding: samples that are much nearer to each other than neighbours usually are.
//!
//! # Source
//! cleanlab 2.9, Datalab's `near_duplicate`.

use super::Neighbours;

/// The lower bound of the median distance.
const SMALL: f64 = 1e-6;

/// The score of each sample, 1 − exp(−nearest distance / median of the nearest distances), and its neighbours at less
/// than `threshold` times that median.
pub fn near_duplicates(neighbours: &Neighbours, threshold: f64) -> Vec<(f64, Vec<usize>)> {
    let nearest = neighbours.nearest_distances();
    let mut sorted = nearest.clone();
    sorted.sort_by(f64::total_cmp);
    let median = crate::stats::quantile(&sorted, 0.5).max(SMALL);
    let near = |sample: usize| {
        neighbours.of(sample).filter(|(_, distance)| *distance < threshold * median).map(|(other, _)| other).collect()
    };
    nearest.iter().enumerate().map(|(sample, distance)| (1.0 - (-distance / median).exp(), near(sample))).collect()
}
