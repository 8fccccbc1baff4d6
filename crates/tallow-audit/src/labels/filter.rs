//! Selection of wrong labels.
//!
//! # Source
//! cleanlab 2.9, `filter.find_label_issues`, with its defaults: all estimated noise is removed; each class keeps a
//! sample.

use serde::{Deserialize, Serialize};

use super::confident::{Counts, TOLERANCE, confident_joint, round_preserving_sum};
use super::probabilities::argmax;
use super::{Probabilities, RankBy, label_quality_scores};

/// The minimum number of samples that each class keeps.
const MIN_PER_CLASS: f64 = 1.0;

/// The methods that select wrong labels, under cleanlab's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// For each pair of given and true class, the number in the confident joint; the samples with the largest margin.
    #[default]
    PruneByNoiseRate,
    /// For each given class, the number off the diagonal of the confident joint; the samples with the lowest
    /// probability of the class.
    PruneByClass,
    /// The samples that both of these select.
    Both,
    /// The samples off the diagonal of the confident joint.
    ConfidentLearning,
    /// The samples whose most probable class is not the label.
    PredictedNeqGiven,
}

/// The samples whose labels are probably wrong, by ascending quality of the label according to `rank_by`.
pub fn find_label_issues(probabilities: &Probabilities, filter: Filter, rank_by: RankBy) -> Vec<usize> {
    let mask = label_issues_mask(probabilities, filter);
    let scores = label_quality_scores(probabilities, rank_by);
    let mut issues: Vec<usize> = (0..mask.len()).filter(|sample| mask[*sample]).collect();
    issues.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    issues
}

/// Whether each sample's label is probably wrong.
pub fn label_issues_mask(probabilities: &Probabilities, filter: Filter) -> Vec<bool> {
    let joint = confident_joint(probabilities);
    let prune = || prune_counts(&joint.counts);
    let mut mask = match filter {
        Filter::PruneByNoiseRate => by_noise_rate(probabilities, &prune()),
        Filter::PruneByClass => by_class(probabilities, &prune()),
        Filter::Both => {
            let (a, b) = (by_noise_rate(probabilities, &prune()), by_class(probabilities, &prune()));
            a.into_iter().zip(b).map(|(a, b)| a && b).collect()
        }
        Filter::ConfidentLearning => {
            let mut mask = vec![false; probabilities.len()];
            joint.off_diagonal.iter().for_each(|sample| mask[*sample] = true);
            mask
        }
        Filter::PredictedNeqGiven => {
            probabilities.rows().zip(probabilities.labels()).map(|(row, label)| argmax(row) != *label).collect()
        }
    };
    // A label is right if it is the most probable class, up to the tolerance.
    for (sample, (row, &label)) in probabilities.rows().zip(probabilities.labels()).enumerate() {
        let best = argmax(row);
        let stands = best == label || row[label] + TOLERANCE > row[best];
        // On a tie at the tolerance, the lower class is the most probable one.
        let tied = row[label] + TOLERANCE == row[best] && label < best;
        mask[sample] &= !(stands || tied);
    }
    mask
}

/// The number of samples to select, `[true][given]`: the joint, adjusted so that each class keeps a sample.
fn prune_counts(joint: &Counts) -> Counts {
    let reduced = |(given, row): (usize, &Vec<f64>)| -> Vec<f64> {
        let missing = (MIN_PER_CLASS - row[given]).max(0.0);
        let others = row.iter().filter(|count| **count != 0.0).count() as f64;
        let each = missing / (others - 1.0).max(1.0);
        let less = |(class, count): (usize, &f64)| match class == given {
            true => count + missing,
            false => (count - each).max(0.0).trunc(),
        };
        row.iter().enumerate().map(less).collect()
    };
    let by_given: Counts = joint.iter().enumerate().map(reduced).collect();
    (0..joint.len()).map(|t| round_preserving_sum(&by_given.iter().map(|row| row[t]).collect::<Vec<_>>())).collect()
}

/// The samples of each given class.
fn members(probabilities: &Probabilities) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); probabilities.classes()];
    probabilities.labels().iter().enumerate().for_each(|(sample, label)| members[*label].push(sample));
    members
}

fn by_noise_rate(probabilities: &Probabilities, prune: &Counts) -> Vec<bool> {
    let mut mask = vec![false; probabilities.len()];
    for (given, members) in members(probabilities).into_iter().enumerate() {
        if members.len() as f64 <= MIN_PER_CLASS {
            continue;
        }
        for (class, counts) in prune.iter().enumerate().filter(|(class, _)| *class != given) {
            let margin = |sample: usize| probabilities.row(sample)[given] - probabilities.row(sample)[class];
            let mut order = members.clone();
            order.sort_by(|&a, &b| margin(a).total_cmp(&margin(b)));
            order.iter().take(counts[given] as usize).for_each(|sample| mask[*sample] = true);
        }
    }
    mask
}

fn by_class(probabilities: &Probabilities, prune: &Counts) -> Vec<bool> {
    let mut mask = vec![false; probabilities.len()];
    for (given, mut members) in members(probabilities).into_iter().enumerate() {
        if members.len() as f64 <= MIN_PER_CLASS {
            continue;
        }
        let count = (members.len() as f64 - prune[given][given]).max(0.0) as usize;
        members.sort_by(|&a, &b| probabilities.row(a)[given].total_cmp(&probabilities.row(b)[given]));
        members.iter().take(count).for_each(|sample| mask[*sample] = true);
    }
    mask
}
