//! Softmax and argmax: logits to probabilities, scores to predictions.

use crate::{Error, Result, check};

/// The softmax of each row: `exp(xᵢ) / Σⱼ exp(xⱼ)`, computed in f64 after subtracting the row's maximum.
///
/// # Shapes
///
/// `logits` and the result: row-major `n × classes`; `n` may be 0.
///
/// # Errors
///
/// No classes, a length that is not a multiple of `classes`, or a logit that is not finite.
pub fn softmax(logits: &[f32], classes: usize) -> Result<Vec<f32>> {
    check_rows(logits, classes)?;
    let mut probabilities = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(classes) {
        let normaliser = log_sum_exp(row);
        probabilities.extend(row.iter().map(|&x| (f64::from(x) - normaliser).exp() as f32));
    }
    Ok(probabilities)
}

/// The class of highest score in each row; the lowest index of equal scores, as in NumPy and PyTorch.
///
/// # Shapes
///
/// `scores`: row-major `n × classes`; the result: `n` class indices.
///
/// # Errors
///
/// No classes, a length that is not a multiple of `classes`, or a score that is not finite.
pub fn argmax(scores: &[f32], classes: usize) -> Result<Vec<usize>> {
    check_rows(scores, classes)?;
    Ok(scores.chunks_exact(classes).map(argmax_of_row).collect())
}

/// `ln Σⱼ exp(xⱼ)` of a row of finite numbers, without overflow.
pub(crate) fn log_sum_exp(row: &[f32]) -> f64 {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + row.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln()
}

fn argmax_of_row(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, &score) in row.iter().enumerate() {
        if score > row[best] {
            best = class;
        }
    }
    best
}

fn check_rows(scores: &[f32], classes: usize) -> Result<()> {
    if classes == 0 {
        return Err(Error::Classes { needed: 1, found: 0 });
    }
    check::scores(scores, scores.len().div_ceil(classes), classes)
}
