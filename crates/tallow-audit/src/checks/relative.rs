//! Thresholds relative to the dataset, for datasets that are no photographs.
//!
//! The default thresholds of the single-image checks are made for photographs. Drawings have few levels, scans are bright,
//! and the night sky is dark. Where more than an eighth of a dataset scores below such a threshold, the threshold
//! describes the dataset and not its faults. Then only images that stand out from the others are issues: those whose
//! score is four times as far below the median as the lower quartile is.
//!
//! # Source
//! In normally distributed scores that is 2.7 standard deviations below the mean, as the lower fence of a box plot
//! (Tukey, "Exploratory Data Analysis", 1977). Only the lower half of the scores is used, as their distribution is skewed.

use std::fmt;

use crate::stats::quantile;

/// The maximum share of the images that score below a threshold that fits the dataset.
const MOST: f64 = 0.125;
/// The distance of the threshold from the median, in distances of the lower quartile from the median.
const SPREADS: f64 = 4.0;
/// The least distance of the threshold from the median, as a fraction of the median: equal scores have no spread.
const LEAST: f64 = 0.1;

/// A threshold that replaces one made for photographs. Displays as the reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relative {
    /// The threshold that does not fit the dataset.
    pub absolute: f64,
    /// The share of the images that score below it, 0 to 1.
    pub share: f64,
    /// The threshold that fits the dataset, 0 or more, at most `absolute`.
    pub threshold: f64,
}

/// The threshold relative to the scores if `absolute` does not fit them.
pub fn threshold(scores: &[f64], absolute: f64) -> Option<Relative> {
    let share = scores.iter().filter(|score| **score < absolute).count() as f64 / scores.len().max(1) as f64;
    if share <= MOST {
        return None;
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (lower, median) = (quantile(&sorted, 0.25), quantile(&sorted, 0.5));
    let threshold = median - (SPREADS * (median - lower)).max(LEAST * median);
    Some(Relative { absolute, share, threshold: threshold.clamp(0.0, absolute) })
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { absolute, share, threshold } = self;
        let share = 100.0 * share;
        write!(f, "{share:.0} % of the images score below {absolute}, a threshold made for photographs. ")?;
        match *threshold > 0.0 {
            true => write!(f, "Reported are images below {threshold:.3}, which stand out in this dataset."),
            false => write!(f, "No score stands out in this dataset."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 scores from `low` to `high`, and others.
    fn scores(low: f64, high: f64, others: &[f64]) -> Vec<f64> {
        let even = (0..100).map(|i| low + (high - low) * f64::from(i) / 99.0);
        even.chain(others.iter().copied()).collect()
    }

    #[test]
    fn a_threshold_that_few_images_miss_stays() {
        assert_eq!(threshold(&scores(0.5, 0.9, &[0.1; 14]), 0.3), None);
        assert_eq!(threshold(&[], 0.3), None);
    }

    #[test]
    fn images_that_stand_out_are_below_the_relative_threshold() {
        let relative = threshold(&scores(0.2, 0.4, &[0.02, 0.05]), 0.3).expect("half are below");
        assert!((0.05..0.2).contains(&relative.threshold), "{relative:?}");
        assert!(relative.to_string().starts_with("51 % of the images score below 0.3"), "{relative}");
        // Equal scores, but for one.
        let relative = threshold(&scores(0.1, 0.1, &[0.098, 0.05]), 0.35).expect("all are below");
        assert!((relative.threshold - 0.09).abs() < 1e-9, "{relative:?}");
        // Scores spread down to 0: none stands out.
        assert_eq!(threshold(&scores(0.0, 0.2, &[]), 0.3).map(|relative| relative.threshold), Some(0.0));
        // Never above the threshold for photographs.
        assert_eq!(threshold(&scores(0.5, 0.5, &[0.1; 20]), 0.3).map(|relative| relative.threshold), Some(0.3));
    }
}
