//! Log loss: the mean cross-entropy of the labels under the predicted probabilities, in nats.

use crate::metric::{Compute, Direction, Metric, Unit};
use crate::{Error, Result, check, softmax::log_sum_exp};

/// Log loss; on a multi-label dataset, the mean binary cross-entropy of a (sample, class) pair.
pub static LOSS: Metric = Metric {
    name: "loss",
    label: "loss",
    sklearn: "log_loss",
    direction: Direction::LowerIsBetter,
    unit: Unit::Number,
    range: (0.0, f64::INFINITY),
    compute: Compute::Evaluation(|evaluation| Some(evaluation.loss)),
};

/// The mean of `-ln p(label)` over the samples, from probabilities.
///
/// A probability below the epsilon of `f32` (1.19e-7) counts as that epsilon, as in scikit-learn with float32 input:
/// the largest loss of one sample is 15.94. [`log_loss_from_logits`] needs no such bound.
///
/// # Shapes
///
/// `probabilities`: row-major `labels.len() × classes`; values are in 0 to 1 and rows sum to 1.
///
/// # Errors
///
/// No samples, fewer than two classes (an error in scikit-learn too), a label out of range, a wrong number of scores, a
/// value outside 0 to 1, or a row whose sum differs from 1 by more than 3.5e-4 (a warning in scikit-learn).
///
/// # Source
///
/// `sklearn.metrics.log_loss`.
pub fn log_loss(labels: &[usize], probabilities: &[f32], classes: usize) -> Result<f64> {
    if classes < 2 {
        return Err(Error::Classes { needed: 2, found: classes });
    }
    mean_log_loss(labels, probabilities, classes)
}

/// [`log_loss`] for any number of classes; 0 with one class.
pub(crate) fn mean_log_loss(labels: &[usize], probabilities: &[f32], classes: usize) -> Result<f64> {
    check::labels("label", labels, classes)?;
    check::scores(probabilities, labels.len(), classes)?;
    check::probabilities(probabilities, classes)?;
    let epsilon = f32::EPSILON;
    let rows = probabilities.chunks_exact(classes);
    // scikit-learn clips on both sides: a certain and right prediction costs 1.19e-7, not 0.
    let total: f64 =
        labels.iter().zip(rows).map(|(&label, row)| -f64::from(row[label].clamp(epsilon, 1.0 - epsilon)).ln()).sum();
    Ok(total / labels.len() as f64)
}

/// The mean of `-ln softmax(logits)[label]` over the samples: the cross-entropy loss without label smoothing or class
/// weights; 0 with one class.
///
/// # Shapes
///
/// `logits`: row-major `labels.len() × classes`.
///
/// # Errors
///
/// No samples, no classes, a label out of range, a wrong number of logits, a logit that is not finite.
pub fn log_loss_from_logits(labels: &[usize], logits: &[f32], classes: usize) -> Result<f64> {
    check::labels("label", labels, classes)?;
    check::scores(logits, labels.len(), classes)?;
    let rows = logits.chunks_exact(classes);
    let total: f64 = labels.iter().zip(rows).map(|(&label, row)| log_sum_exp(row) - f64::from(row[label])).sum();
    Ok(total / labels.len() as f64)
}
