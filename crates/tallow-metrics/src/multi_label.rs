//! Metrics of multi-label datasets, in which a sample has any number of classes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metric::{Compute, Direction, Metric, Unit};
use crate::precision_recall_fscore::Counts;
use crate::{
    Average, ClassificationReport, ConfusionMatrix, Error, Evaluation, PrecisionRecallFscore, Result, argmax,
    average_precision_score, check,
};

/// Mean average precision: the mean over the classes that some sample has.
pub static MAP: Metric = Metric {
    name: "map",
    label: "mAP",
    sklearn: "average_precision_score(average=\"macro\")",
    direction: Direction::HigherIsBetter,
    unit: Unit::Percent,
    range: (0.0, 1.0),
    compute: Compute::MultiLabel(|metrics| Some(metrics.mean_average_precision)),
};

/// F1 of each sample's set of classes: the mean over samples.
pub static SAMPLES_F1: Metric = Metric {
    name: "samples_f1",
    label: "samples F1",
    sklearn: "f1_score(average=\"samples\")",
    direction: Direction::HigherIsBetter,
    unit: Unit::Number,
    range: (0.0, 1.0),
    compute: Compute::MultiLabel(|metrics| Some(metrics.samples_avg.f1_score)),
};

/// The fraction of samples whose set of classes is predicted exactly.
pub static SUBSET_ACCURACY: Metric = Metric {
    name: "subset_accuracy",
    label: "subset accuracy",
    sklearn: "accuracy_score",
    direction: Direction::HigherIsBetter,
    unit: Unit::Percent,
    range: (0.0, 1.0),
    compute: Compute::MultiLabel(|metrics| Some(metrics.subset_accuracy)),
};

/// The fraction of (sample, class) pairs that are predicted wrongly.
pub static HAMMING_LOSS: Metric = Metric {
    name: "hamming_loss",
    label: "Hamming loss",
    sklearn: "hamming_loss",
    direction: Direction::LowerIsBetter,
    unit: Unit::Number,
    range: (0.0, 1.0),
    compute: Compute::MultiLabel(|metrics| Some(metrics.hamming_loss)),
};

/// Metrics that only multi-label datasets have. A class is predicted if its probability is above ½.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiLabel {
    /// The fraction of samples whose set of classes is predicted exactly.
    pub subset_accuracy: f64,
    /// The fraction of (sample, class) pairs that are predicted wrongly.
    pub hamming_loss: f64,
    /// Precision, recall and F1 of each sample's set of classes, averaged over samples; a ratio without a divisor is 0.
    #[serde(rename = "samples avg")]
    pub samples_avg: PrecisionRecallFscore,
    /// The average precision of each class; absent if no sample has the class.
    pub average_precision: Vec<Option<f64>>,
    /// The mean of `average_precision` over the classes that have one.
    pub mean_average_precision: f64,
}

/// Evaluates logits on a multi-label dataset; the sigmoid of each logit is the probability of its class.
///
/// In the result, `loss` is the mean binary cross-entropy of a (sample, class) pair, `top1` is the fraction of samples
/// that have the class of highest score, and `confusion` is empty.
///
/// # Shapes
///
/// `targets` and `logits`: row-major `n × class_names.len()`; a sample has a class if the target is above ½.
///
/// # Errors
///
/// No samples, no classes, lengths that do not match, a logit that is not finite.
///
/// # Source
///
/// scikit-learn's `classification_report`, `accuracy_score`, `hamming_loss` and `average_precision_score` on label
/// indicators, with `zero_division=0`.
pub fn evaluate_multi_label(targets: &[f32], logits: &[f32], class_names: &[String]) -> Result<Evaluation> {
    let classes = class_names.len();
    if classes == 0 {
        return Err(Error::Classes { needed: 1, found: 0 });
    }
    let n = targets.len() / classes;
    if n == 0 {
        return Err(Error::Empty);
    }
    check::scores(logits, n, classes)?;
    check::scores(targets, n, classes)?;
    let holds: Vec<bool> = targets.iter().map(|target| *target > 0.5).collect();
    let predicted: Vec<bool> = logits.iter().map(|logit| *logit > 0.0).collect();

    let column = |class: usize| (0..n).map(move |row| row * classes + class);
    let of_class = |class: usize| counts(column(class).map(|i| (holds[i], predicted[i])));
    let by_class: Vec<Counts> = (0..classes).map(of_class).collect();
    let of_row = |row: usize| counts((row * classes..(row + 1) * classes).map(|i| (holds[i], predicted[i])));
    let by_row: Vec<Counts> = (0..n).map(of_row).collect();
    let all: Vec<usize> = (0..classes).collect();
    let rows: Vec<usize> = (0..n).collect();

    let wrong = holds.iter().zip(&predicted).filter(|(a, b)| a != b).count();
    let right_rows = holds.chunks_exact(classes).zip(predicted.chunks_exact(classes)).filter(|(a, b)| a == b).count();
    let precisions: Vec<Option<f64>> = all
        .iter()
        .map(|&class| {
            let (positive, scores): (Vec<bool>, Vec<f32>) = column(class).map(|i| (holds[i], logits[i])).unzip();
            positive.contains(&true).then(|| average_precision_score(&positive, &scores)).transpose()
        })
        .collect::<Result<_>>()?;
    let known: Vec<f64> = precisions.iter().flatten().copied().collect();
    let highest = argmax(logits, classes)?;
    let top1 = highest.iter().enumerate().filter(|(row, class)| holds[row * classes + **class]).count();
    Ok(Evaluation {
        n,
        loss: targets.iter().zip(logits).map(|(t, x)| binary_cross_entropy(*t, *x)).sum::<f64>() / targets.len() as f64,
        top1: top1 as f64 / n as f64,
        top5: None,
        confusion: ConfusionMatrix::empty(),
        report: ClassificationReport::of_counts(class_names, &by_class),
        multi_label: Some(MultiLabel {
            subset_accuracy: right_rows as f64 / n as f64,
            hamming_loss: wrong as f64 / targets.len() as f64,
            samples_avg: Counts::average(&by_row, &rows, Average::Macro),
            mean_average_precision: known.iter().sum::<f64>() / known.len().max(1) as f64,
            average_precision: precisions,
        }),
    })
}

/// The probability of each class: `1 / (1 + exp(-x))`.
pub fn sigmoid(logits: &[f32]) -> Vec<f32> {
    logits.iter().map(|x| (1.0 / (1.0 + (-f64::from(*x)).exp())) as f32).collect()
}

/// The logit of each probability, the inverse of [`sigmoid`]: `ln(p / (1 - p))`. The result is finite: 0 and 1 count as
/// the nearest `f32` between them.
pub fn logit(probabilities: &[f32]) -> Vec<f32> {
    let of = |p: &f32| {
        let p = f64::from(p.clamp(f32::MIN_POSITIVE, 1.0 - f32::EPSILON / 2.0));
        (p / (1.0 - p)).ln() as f32
    };
    probabilities.iter().map(of).collect()
}

fn counts(pairs: impl Iterator<Item = (bool, bool)>) -> Counts {
    let mut counts = Counts::default();
    for (holds, predicted) in pairs {
        counts.support += u64::from(holds);
        counts.predicted += u64::from(predicted);
        counts.correct += u64::from(holds && predicted);
    }
    counts
}

/// `max(x, 0) - x t + ln(1 + exp(-|x|))`, which does not overflow for any logit.
fn binary_cross_entropy(target: f32, logit: f32) -> f64 {
    let (target, logit) = (f64::from(target), f64::from(logit));
    logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p()
}

impl fmt::Display for MultiLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = MAP.format(self.mean_average_precision);
        let samples_f1 = SAMPLES_F1.format(self.samples_avg.f1_score);
        let subset_accuracy = SUBSET_ACCURACY.format(self.subset_accuracy);
        let hamming_loss = HAMMING_LOSS.format(self.hamming_loss);
        write!(f, "{map}  {samples_f1}  {subset_accuracy}  {hamming_loss}")
    }
}
