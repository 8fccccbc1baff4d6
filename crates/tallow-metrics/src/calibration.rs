//! Calibration: whether predictions of 80 % confidence are right 80 % of the time, and the temperature that makes them
//! so.

use serde::{Deserialize, Serialize};

use crate::metric::{Compute, Direction, Metric, Unit};
use crate::softmax::log_sum_exp;
use crate::{Result, check, log_loss_from_logits};

/// The Brier score.
pub static BRIER: Metric = Metric {
    name: "brier",
    label: "Brier",
    sklearn: "brier_score_loss(scale_by_half=False)",
    direction: Direction::LowerIsBetter,
    unit: Unit::Number,
    compute: Compute::Probabilities(|probabilities| Some(probabilities.brier)),
};

/// The expected calibration error over [`BINS`] bins. scikit-learn has the bins alone.
pub static ECE: Metric = Metric {
    name: "ece",
    label: "ECE",
    sklearn: "calibration_curve",
    direction: Direction::LowerIsBetter,
    unit: Unit::Percent,
    compute: Compute::Probabilities(|probabilities| Some(probabilities.ece)),
};

/// The number of bins of the reported calibration error, as in Guo et al. 2017.
pub const BINS: usize = 15;
/// The logarithm of the highest temperature searched: temperatures lie between 1/1000 and 1000.
const HIGHEST_LOG: f64 = 6.907_755_278_982_137;

/// Confidence compared with accuracy, over bins of confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The expected calibration error, 0 to 1: the mean of |accuracy − confidence| over bins, weighted by their
    /// samples.
    pub ece: f64,
    /// The maximum calibration error, 0 to 1: the largest |accuracy − confidence| of a bin.
    pub mce: f64,
    /// The bins that have samples, by ascending confidence: the points of a reliability diagram.
    pub bins: Vec<ReliabilityBin>,
}

/// One bin: the samples whose highest probability lies in its range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// The number of samples.
    pub count: usize,
    /// The mean of the samples' highest probabilities.
    pub confidence: f64,
    /// The fraction of samples whose most probable class is the label.
    pub accuracy: f64,
}

/// The calibration of the most probable class over `bins` bins of equal width. A bin includes its upper edge.
///
/// # Shapes
/// `probabilities`: row-major `labels.len() × classes`.
///
/// # Errors
/// No samples, a label out of range, a wrong number of probabilities, or rows that are no distributions.
///
/// # Source
/// Guo et al. 2017, "On Calibration of Modern Neural Networks"; the bins are those of
/// `sklearn.calibration.calibration_curve`.
pub fn calibration(labels: &[usize], probabilities: &[f32], classes: usize, bins: usize) -> Result<Calibration> {
    check::labels("label", labels, classes)?;
    check::scores(probabilities, labels.len(), classes)?;
    check::probabilities(probabilities, classes)?;
    let chosen = crate::argmax(probabilities, classes)?;
    let bins = bins.max(1);
    let mut sums = vec![(0usize, 0.0f64, 0usize); bins];
    for (row, (&class, &label)) in chosen.iter().zip(labels).enumerate() {
        let confidence = f64::from(probabilities[row * classes + class]);
        let bin = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        let (count, sum, right) = &mut sums[bin];
        (*count, *sum, *right) = (*count + 1, *sum + confidence, *right + usize::from(class == label));
    }
    let filled = sums.into_iter().filter(|(count, _, _)| *count > 0);
    let bins: Vec<ReliabilityBin> = filled
        .map(|(count, sum, right)| ReliabilityBin {
            count,
            confidence: sum / count as f64,
            accuracy: right as f64 / count as f64,
        })
        .collect();
    let gap = |bin: &ReliabilityBin| (bin.accuracy - bin.confidence).abs();
    let ece = bins.iter().map(|bin| gap(bin) * bin.count as f64).sum::<f64>() / labels.len() as f64;
    Ok(Calibration { ece, mce: bins.iter().map(gap).fold(0.0, f64::max), bins })
}

/// The Brier score: the mean over samples of `Σ (p − y)²` over classes, 0 to 2.
///
/// # Errors
/// The errors of [`calibration`].
///
/// # Source
/// `sklearn.metrics.brier_score_loss` with `scale_by_half=False`, its default for more than two classes.
pub fn brier_score_loss(labels: &[usize], probabilities: &[f32], classes: usize) -> Result<f64> {
    check::labels("label", labels, classes)?;
    check::scores(probabilities, labels.len(), classes)?;
    check::probabilities(probabilities, classes)?;
    let squares = |(row, &label): (&[f32], &usize)| -> f64 {
        let error = |(class, p): (usize, &f32)| f64::from(*p) - f64::from(u8::from(class == label));
        row.iter().enumerate().map(error).map(|error| error * error).sum()
    };
    let total: f64 = probabilities.chunks_exact(classes).zip(labels).map(squares).sum();
    Ok(total / labels.len() as f64)
}

/// The temperature `T` that minimises the log loss of `softmax(logits / T)`. A temperature above 1 means that the model
/// is overconfident. Dividing by it changes no prediction. Fit it on samples that the model was not trained on.
///
/// The slope of the loss in 1/T is monotonic, so bisection finds its zero. If there is none between 1/1000 and 1000, as
/// when every prediction is right, the result is that end of the range.
///
/// # Shapes
/// `logits`: row-major `labels.len() × classes`.
///
/// # Errors
/// No samples, a label out of range, a wrong number of logits, or a logit that is not finite.
///
/// # Source
/// Guo et al. 2017, temperature scaling.
pub fn fit_temperature(labels: &[usize], logits: &[f32], classes: usize) -> Result<f64> {
    log_loss_from_logits(labels, logits, classes)?; // Checks the arguments.
    let slope = |inverse: f64| -> f64 {
        let of_row = |(row, &label): (&[f32], &usize)| {
            let highest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let (mut sum, mut weighted) = (0.0, 0.0);
            for &logit in row {
                let below = f64::from(logit) - highest;
                let p = (inverse * below).exp();
                (sum, weighted) = (sum + p, weighted + p * below);
            }
            weighted / sum - (f64::from(row[label]) - highest)
        };
        logits.chunks_exact(classes).zip(labels).map(of_row).sum()
    };
    let (mut low, mut high) = (-HIGHEST_LOG, HIGHEST_LOG);
    if slope(low.exp()) == 0.0 {
        return Ok(1.0); // All logits of a row are equal: every temperature gives the same loss.
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        // The slope underflows to 0 where the other classes have no probability left: a lower temperature is no worse.
        if slope(middle.exp()) <= 0.0 { low = middle } else { high = middle }
    }
    Ok((-(low + high) / 2.0).exp())
}

/// The mean of `-ln softmax(logits / temperature)[label]` over the samples.
///
/// # Errors
/// The errors of [`fit_temperature`].
pub fn log_loss_at_temperature(labels: &[usize], logits: &[f32], classes: usize, temperature: f64) -> Result<f64> {
    log_loss_from_logits(labels, logits, classes)?;
    let scaled: Vec<f32> = logits.iter().map(|logit| (f64::from(*logit) / temperature) as f32).collect();
    let rows = scaled.chunks_exact(classes);
    let total: f64 = labels.iter().zip(rows).map(|(&label, row)| log_sum_exp(row) - f64::from(row[label])).sum();
    Ok(total / labels.len() as f64)
}
