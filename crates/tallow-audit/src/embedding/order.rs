//! Whether samples that are close in order are alike: a dataset that is sorted, drifts, or was taken in series.
//!
//! # Source
//! Cummings, Snorrason, Mueller, "Detecting Dataset Drift and Non-IID Sampling via k-Nearest Neighbors" (2023), as cleanlab
//! 2.9: Datalab's `non_iid`. The random orders are our generator's, so that p-values differ from cleanlab's by chance.

use rand::seq::SliceRandom as _;
use tallow_augment::rng;

use super::Neighbours;

/// What the test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    /// The largest difference between the distribution of the neighbours' distances in order and that of any two samples.
    pub statistic: f64,
    /// How probable that statistic or a larger one is if the order means nothing.
    pub p_value: f64,
}

/// Compares the order with `permutations` random ones, drawn from `seed`.
pub fn order(neighbours: &Neighbours, permutations: usize, seed: u64) -> Order {
    let n = neighbours.len();
    if n < 3 {
        return Order { statistic: 0.0, p_value: 1.0 };
    }
    let as_it_lies: Vec<usize> = (0..n).collect();
    let statistic = kolmogorov_smirnov(neighbours, &as_it_lies);
    let random: Vec<f64> = (0..permutations as u64)
        .map(|number| {
            let mut places = as_it_lies.clone();
            places.shuffle(&mut rng::keyed(seed, number, 0, rng::SHUFFLE));
            kolmogorov_smirnov(neighbours, &places)
        })
        .collect();
    Order { statistic, p_value: upper_tail(&random, statistic) }
}

/// The statistic of samples that stand at `places`.
pub fn kolmogorov_smirnov(neighbours: &Neighbours, places: &[usize]) -> f64 {
    let n = neighbours.len();
    // Counts of each distance in order; one further, the largest, stands for the end.
    let mut counts = vec![0u64; n];
    for sample in 0..n {
        for (other, _) in neighbours.of(sample) {
            counts[places[sample].abs_diff(places[other])] += 1;
        }
    }
    counts[n - 1] += 1;
    let total = (n * neighbours.k) as f64;
    let (n, mut below, mut largest) = (n as f64, 0u64, 0f64);
    for (distance, count) in counts.iter().enumerate().skip(1).filter(|(_, count)| **count > 0) {
        let d = distance as f64;
        let any_two = (d * n - d * (d + 1.0) / 2.0) / (n * (n - 1.0) / 2.0);
        // The distribution of the neighbours' steps from the first to the last of equal distances.
        let (first, last) = (below as f64 / total, (below + count - 1) as f64 / total);
        largest = largest.max((first - any_two).abs()).max((last - any_two).abs());
        below += count;
    }
    largest
}

/// The probability of `value` or more under a normal kernel density of the samples, with Scott's width.
fn upper_tail(samples: &[f64], value: f64) -> f64 {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let width = variance.sqrt() * n.powf(-0.2);
    if width.is_nan() || width <= 0.0 {
        return samples.iter().filter(|sample| **sample >= value).count() as f64 / n;
    }
    samples.iter().map(|sample| upper_normal((value - sample) / width)).sum::<f64>() / n
}

/// The probability that a standard normal number exceeds `x`, to 7.5e-8.
///
/// # Source
/// Abramowitz and Stegun, 26.2.17.
fn upper_normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let tail = series.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = tail * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x >= 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_tail_is_right() {
        for (x, expected) in [(0.0, 0.5), (1.0, 0.158_655_254), (-1.0, 0.841_344_746), (3.0, 0.001_349_898)] {
            assert!((upper_normal(x) - expected).abs() < 1e-7, "{x}");
        }
    }
}
