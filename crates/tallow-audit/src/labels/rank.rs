//! Label quality, 0 (certainly wrong) to 1, from a model's probabilities.
//!
//! # Source
//! cleanlab 2.9, `rank.get_label_quality_scores`.

use serde::{Deserialize, Serialize};

use super::Probabilities;

/// The lower bound of divisors, cleanlab's.
const SMALL: f64 = 1e-6;

/// The methods that score labels, under cleanlab's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankBy {
    /// The probability of the given label.
    #[default]
    SelfConfidence,
    /// (probability of the given label − highest other probability + 1) / 2.
    NormalizedMargin,
    /// log(1 + w) / w, where w is the normalised entropy of the probabilities divided by the probability of the given
    /// label.
    ConfidenceWeightedEntropy,
}

/// The quality of each sample's label, 0 to 1.
pub fn label_quality_scores(probabilities: &Probabilities, rank_by: RankBy) -> Vec<f64> {
    let score = |(row, &label): (&[f64], &usize)| match rank_by {
        RankBy::SelfConfidence => row[label],
        RankBy::NormalizedMargin => (row[label] - highest_other(row, label) + 1.0) / 2.0,
        RankBy::ConfidenceWeightedEntropy => {
            let entropy: f64 = row.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            let weighted = entropy / (row.len() as f64).ln() / row[label].max(SMALL);
            (weighted + 1.0).ln() / weighted.max(SMALL)
        }
    };
    probabilities.rows().zip(probabilities.labels()).map(score).collect()
}

/// The highest probability of another class than `label`.
pub(crate) fn highest_other(row: &[f64], label: usize) -> f64 {
    row.iter().enumerate().filter(|(class, _)| *class != label).map(|(_, p)| *p).fold(f64::NEG_INFINITY, f64::max)
}
