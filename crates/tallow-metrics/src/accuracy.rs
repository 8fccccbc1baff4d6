//! Accuracy: how often the prediction, or one of the k best scores, is the label.

use crate::{Error, Result, check};

/// The fraction of predictions that equal their label, in 0 to 1.
///
/// # Errors
///
/// No samples, or not as many predictions as labels.
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
/// Between equal scores the class of the higher index ranks first, as in scikit-learn. (An argmax takes the lower:
/// on ties, top-1 accuracy and [`accuracy_score`] of [`crate::argmax`] differ.) `k` at or above the number of classes
/// gives 1; scikit-learn also warns. Two classes are treated like any other number.
///
/// # Shapes
///
/// `scores`: row-major `labels.len() × classes`; any finite numbers, only their order counts.
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

/// How many classes rank before `label`.
fn rank(row: &[f32], label: usize) -> usize {
    let own = row[label];
    row.iter().enumerate().filter(|&(class, &score)| score > own || (score == own && class > label)).count()
}
