//! A test of whether samples that are close in the dataset's order are similar: the dataset is sorted, drifts, or
//! contains series.
//!
//! # Source
//! Cummings, Snorrason, Mueller, "Detecting Dataset Drift and Non-IID Sampling via k-Nearest Neighbors" (2023), as in
//! cleanlab 2.9, Datalab's `non_iid`. Permutations come from this project's generator, so p-values differ from
//! cleanlab's by chance.

use rand::seq::SliceRandom as _;
use tallow_base::rng;

use super::Neighbours;

/// The result of the test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderTest {
    /// The Kolmogorov-Smirnov statistic: the maximum difference between the distributions of the distance in order,
    /// between neighbours and between any two samples.
    pub statistic: f64,
    /// The probability of that statistic or a larger one under a random order.
    pub p_value: f64,
}

/// Compares the order with `permutations` random permutations, drawn from `seed`.
pub fn order(neighbours: &Neighbours, permutations: usize, seed: u64) -> OrderTest {
    let n = neighbours.len();
    if n < 3 {
        return OrderTest { statistic: 0.0, p_value: 1.0 };
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
    OrderTest { statistic, p_value: upper_tail(&random, statistic) }
}

/// The Kolmogorov-Smirnov statistic of samples at the positions `places` in the order.
pub fn kolmogorov_smirnov(neighbours: &Neighbours, places: &[usize]) -> f64 {
    let n = neighbours.len();
    // The histogram of distances in order; one more count of the largest distance marks the end.
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
        // The distribution of the neighbours is a step function: compare before and after the steps of equal distance.
        let (first, last) = (below as f64 / total, (below + count - 1) as f64 / total);
        largest = largest.max((first - any_two).abs()).max((last - any_two).abs());
        below += count;
    }
    largest
}

/// The probability of `value` or more under a Gaussian kernel density estimate of the samples, with Scott's bandwidth.
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

/// The probability that a standard normal variable exceeds `x`, to 7.5e-8.
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
