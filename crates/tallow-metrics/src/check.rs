//! Checks of labels, predictions and scores, shared by the metrics.

use crate::{Error, Result};

/// Checks for at least one class index, all of them below `classes`.
pub(crate) fn labels(what: &'static str, labels: &[usize], classes: usize) -> Result<()> {
    if classes == 0 {
        return Err(Error::Classes { needed: 1, found: 0 });
    }
    if labels.is_empty() {
        return Err(Error::Empty);
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(Error::OutOfRange { what, row, found: labels[row], classes }),
        None => Ok(()),
    }
}

/// Checks for equal numbers of labels and predictions.
pub(crate) fn same_length(labels: &[usize], predictions: &[usize]) -> Result<()> {
    if labels.len() == predictions.len() {
        return Ok(());
    }
    Err(Error::Length { what: "predictions", expected: labels.len(), found: predictions.len() })
}

/// Checks for `rows × classes` finite scores.
pub(crate) fn scores(scores: &[f32], rows: usize, classes: usize) -> Result<()> {
    let expected = rows.saturating_mul(classes);
    if scores.len() != expected {
        return Err(Error::Length { what: "scores", expected, found: scores.len() });
    }
    finite(scores, classes)
}

/// Checks that every score is finite; `classes` is at least 1.
pub(crate) fn finite(scores: &[f32], classes: usize) -> Result<()> {
    match scores.iter().position(|score| !score.is_finite()) {
        Some(at) => Err(Error::NotFinite { row: at / classes, class: at % classes, found: scores[at] }),
        None => Ok(()),
    }
}

/// Checks that every row is a distribution: values in 0 to 1 whose sum is 1 within the square root of the epsilon of
/// `f32`, scikit-learn's tolerance.
pub(crate) fn probabilities(probabilities: &[f32], classes: usize) -> Result<()> {
    if let Some(at) = probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(Error::NotAProbability { row: at / classes, class: at % classes, found: probabilities[at] });
    }
    let tolerance = f64::from(f32::EPSILON).sqrt();
    for (row, values) in probabilities.chunks_exact(classes).enumerate() {
        let sum: f64 = values.iter().copied().map(f64::from).sum();
        if (sum - 1.0).abs() > tolerance {
            return Err(Error::RowSum { row, sum });
        }
    }
    Ok(())
}
