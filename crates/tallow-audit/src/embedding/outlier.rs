//! Outliers: samples far from their nearest neighbours.
//!
//! # Source
//! Kuan, Mueller, "Back to the Basics: Revisiting Out-of-Distribution Detection Baselines" (2022), as cleanlab 2.9:
//! `OutOfDistribution` (the score) and Datalab's `outlier` (the criterion).

use super::Neighbours;
use crate::stats::quantile;

/// The distance below which two samples coincide: 100 times the precision of `f64`.
const SMALL: f64 = 100.0 * f64::EPSILON;

/// The score of each sample, exp(−mean distance / median of the mean distances), and whether it is an outlier: its mean
/// distance to its neighbours exceeds the upper quartile by more than (1 / threshold − 1) interquartile ranges.
pub fn outliers(neighbours: &Neighbours, threshold: f64) -> Vec<(f64, bool)> {
    let means = neighbours.mean_distances();
    let mut sorted = means.clone();
    sorted.sort_by(f64::total_cmp);
    let [q1, median, q3] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
    // With threshold 0 the bound is infinite: no sample is an outlier.
    let bound = if threshold > 0.0 { q3 + (1.0 / threshold - 1.0) * (q3 - q1) } else { f64::INFINITY };
    // As in cleanlab, a distance within rounding error counts as 0.
    let score = |mean: f64| if mean < SMALL { 1.0 } else { (-mean / median.max(SMALL)).exp() };
    means.iter().map(|&mean| (score(mean), mean > bound)).collect()
}
