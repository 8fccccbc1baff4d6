//! Accuracy: the fraction of samples whose prediction, or one of whose k highest scores, is the label.

use crate::metric::{Compute, Direction, Metric, Unit};
use crate::{Error, Result, check};

/// Top-1 accuracy; on a multi-label dataset, the fraction of samples that have the class of highest score.
pub static TOP1: Metric = Metric {
    name: "top1",
    label: "top-1",
    sklearn: "accuracy_score",
    direction: Direction::HigherIsBetter,
    unit: Unit::Percent,
    range: (0.0, 1.0),
    compute: Compute::Evaluation(|evaluation| Some(evaluation.top1)),
};

/// Top-5 accuracy; undefined with five classes or fewer.
pub static TOP5: Metric = Metric {
    name: "top5",
    label: "top-5",
    sklearn: "top_k_accuracy_score(k=5)",
    direction: Direction::HigherIsBetter,
    unit: Unit::Percent,
    range: (0.0, 1.0),
    compute: Compute::Evaluation(|evaluation| evaluation.top5),
};

/// The fraction of predictions that equal their label, in 0 to 1.
///
/// # Errors
///
/// No samples, or different numbers of labels and predictions.
///
/// # Source
///
/// `sklearn.metrics.accuracy_score`.
pub fn accuracy_score(labels: &[usize], predictions: &[usize]) -> Result<f64> {
    check::same_length(labels, predictions)?;
    if labels.is_empty() {
        return Err(Error::Empty);
    }
    let correct = labels.iter().zip(predictions).filter(|(label, prediction)| label == prediction).count();
    Ok(correct as f64 / labels.len() as f64)
}

/// The fraction of samples whose label is among the `k` classes of highest score, in 0 to 1.
///
/// Of classes with equal scores, the one with the higher index ranks first, as in scikit-learn. [`crate::argmax`] picks
/// the lower index: on ties, top-1 accuracy and the [`accuracy_score`] of its predictions differ. If `k` is the number
/// of classes or more, the result is 1; scikit-learn also warns. Two classes are no special case.
///
/// # Shapes
///
/// `scores`: row-major `labels.len() × classes`; any finite numbers, as only their order matters.
///
/// # Errors
///
/// No samples, no classes, a label out of range, a wrong number of scores, a score that is not finite, `k = 0`.
///
/// # Source
///
/// `sklearn.metrics.top_k_accuracy_score`.
pub fn top_k_accuracy_score(labels: &[usize], scores: &[f32], classes: usize, k: usize) -> Result<f64> {
    check::labels("label", labels, classes)?;
    check::scores(scores, labels.len(), classes)?;
    if k == 0 {
        return Err(Error::ZeroK);
    }
    let hits = labels.iter().zip(scores.chunks_exact(classes)).filter(|(label, row)| rank(row, **label) < k).count();
    Ok(hits as f64 / labels.len() as f64)
}

/// The number of classes that rank before `label`.
fn rank(row: &[f32], label: usize) -> usize {
    let own = row[label];
    row.iter().enumerate().filter(|&(class, &score)| score > own || (score == own && class > label)).count()
}
