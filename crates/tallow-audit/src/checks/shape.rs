//! Unusual sizes.
//!
//! # Source
//! cleanvision's `odd_size`.

use crate::stats::quantile;
use crate::{Issue, IssueKind, Measures};

/// The score of each size, 0 to 1: 1 in the middle of the usual range, 0.5 at its ends. The range extends from the
/// quartiles of √(width · height) by 3 interquartile ranges on both sides. If it is empty, as most images have one
/// size, other sizes score at most 0.5, by their relative distance from that size.
pub fn size_scores(sizes: &[f64]) -> Vec<f64> {
    let mut sorted = sizes.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (q1, q3) = (quantile(&sorted, 0.25), quantile(&sorted, 0.75));
    let (low, high) = (q1 - 3.0 * (q3 - q1), q3 + 3.0 * (q3 - q1));
    let middle = (low + high) / 2.0;
    let score = |size: &f64| {
        let distance = (size - middle).abs();
        match high - low {
            gap if gap > 0.0 => 1.0 - (distance / gap).min(1.0),
            _ if distance == 0.0 => 1.0,
            // In cleanvision this score is twice as high, and its threshold is 1 instead of 0.5.
            _ => 0.5 * (1.0 - (distance / middle).min(1.0)),
        }
    };
    sizes.iter().map(score).collect()
}

/// The samples whose size is unusual.
pub fn odd_sizes(readable: &[(usize, &Measures)], threshold: f64) -> Vec<Issue> {
    let sizes: Vec<f64> = readable.iter().map(|(_, m)| (m.width as f64).sqrt() * (m.height as f64).sqrt()).collect();
    let scores = size_scores(&sizes);
    let odd = readable.iter().zip(scores).filter(|(_, score)| *score < threshold);
    odd.map(|((sample, m), score)| {
        Issue::new(IssueKind::OddSize, *sample, score, format!("{} × {} (width × height)", m.width, m.height))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_far_outside_the_quartiles_are_odd() {
        // The quartiles are 100 and 110, so the usual range is 70 to 140 with middle 105.
        let scores = size_scores(&[100.0, 100.0, 105.0, 110.0, 110.0, 140.0, 69.0]);
        assert_eq!(scores[2], 1.0 - 0.0);
        assert!((scores[5] - 0.5).abs() < 0.05, "{scores:?}");
        assert_eq!(size_scores(&[28.0, 28.0, 28.0, 28.0, 56.0]), [1.0, 1.0, 1.0, 1.0, 0.0]);
        assert!(size_scores(&[28.0, 28.0, 28.0, 28.0, 29.0])[4] < 0.5);
        assert!(size_scores(&[]).is_empty());
    }
}
