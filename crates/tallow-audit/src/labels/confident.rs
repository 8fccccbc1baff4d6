//! The confident joint: the estimated number of samples for each pair of given and true class.
//!
//! # Source
//! Northcutt, Jiang, Chuang, "Confident Learning" (JAIR 2021), as in cleanlab 2.9: `count.compute_confident_joint`,
//! `calibrate_confident_joint`, `get_confident_thresholds`.

use super::Probabilities;
use super::probabilities::argmax;

/// The tolerance of comparisons of probabilities, cleanlab's.
pub(crate) const TOLERANCE: f64 = 1e-6;

/// A matrix of counts, `classes × classes`: `[given][true]`.
pub type Counts = Vec<Vec<f64>>;

/// The confident joint and the samples off its diagonal.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfidentJoint {
    /// The number of samples by given class (row) and true class (column), integers; rows sum to the classes' counts.
    pub counts: Counts,
    /// The samples counted to another class than their label, in ascending order.
    pub off_diagonal: Vec<usize>,
}

/// The threshold of each class: the mean probability of the class over the samples with its label. A class without
/// samples has the threshold 2, which no probability reaches.
pub fn thresholds(probabilities: &Probabilities) -> Vec<f64> {
    let mut sums = vec![0.0; probabilities.classes()];
    for (row, label) in probabilities.rows().zip(probabilities.labels()) {
        sums[*label] += row[*label];
    }
    let mean = |(sum, count): (f64, usize)| if count == 0 { 2.0 } else { sum / count as f64 };
    sums.into_iter().zip(probabilities.class_counts()).map(|pair| mean(pair).max(2.0 * TOLERANCE)).collect()
}

/// The confident joint. A sample that reaches the threshold of one class counts to that class; a sample that reaches
/// several counts to its most probable class. Then each row is scaled to the number of samples with that label and
/// rounded.
pub fn confident_joint(probabilities: &Probabilities) -> ConfidentJoint {
    let thresholds = thresholds(probabilities);
    let k = probabilities.classes();
    let mut counts = vec![vec![0.0; k]; k];
    let mut off_diagonal = Vec::new();
    for (sample, (row, &label)) in probabilities.rows().zip(probabilities.labels()).enumerate() {
        let mut reached = (0..k).filter(|class| row[*class] >= thresholds[*class] - TOLERANCE);
        let Some(first) = reached.next() else { continue };
        let class = if reached.next().is_some() { argmax(row) } else { first };
        counts[label][class] += 1.0;
        if class != label {
            off_diagonal.push(sample);
        }
    }
    (0..k).for_each(|class| counts[class][class] = f64::max(counts[class][class], 1.0));
    ConfidentJoint { counts: calibrate(&counts, &probabilities.class_counts()), off_diagonal }
}

/// Scales each row to the number of samples with that label, and rounds so that the row sums are preserved.
fn calibrate(counts: &Counts, class_counts: &[usize]) -> Counts {
    let mut calibrated: Counts = counts
        .iter()
        .zip(class_counts)
        .map(|(row, count)| {
            let sum: f64 = row.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            row.iter().map(|value| value / sum * *count as f64).collect()
        })
        .collect();
    let sum = calibrated.iter().flatten().sum::<f64>().max(f64::MIN_POSITIVE);
    let total = class_counts.iter().sum::<usize>() as f64;
    calibrated.iter_mut().flatten().for_each(|value| *value = *value / sum * total);
    calibrated.iter().map(|row| round_preserving_sum(row)).collect()
}

/// Rounds so that the sum equals the rounded sum, by adjusting the values with the largest rounding errors.
pub(crate) fn round_preserving_sum(values: &[f64]) -> Vec<f64> {
    let mut rounded: Vec<f64> = values.iter().map(|value| value.round_ties_even()).collect();
    let wanted = values.iter().sum::<f64>().round_ties_even();
    loop {
        let missing = wanted - rounded.iter().sum::<f64>().round_ties_even();
        if missing == 0.0 || !missing.is_finite() {
            return rounded;
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| (values[a] - rounded[a]).total_cmp(&(values[b] - rounded[b])));
        if missing > 0.0 {
            order.reverse();
        }
        for &place in order.iter().take(missing.abs() as usize) {
            rounded[place] += missing.signum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_preserves_the_sum() {
        assert_eq!(round_preserving_sum(&[0.4, 0.4, 0.2]), [0.0, 1.0, 0.0]);
        assert_eq!(round_preserving_sum(&[1.5, 2.5, 3.0]), [2.0, 2.0, 3.0]);
        assert_eq!(round_preserving_sum(&[0.6, 0.6, 0.8]), [0.0, 1.0, 1.0]);
        assert!(round_preserving_sum(&[]).is_empty());
    }
}
