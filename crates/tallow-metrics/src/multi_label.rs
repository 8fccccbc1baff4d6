//! Metrics where several classes, or none, hold for a sample.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::precision_recall_fscore::Counts;
use crate::{
    Average, ClassificationReport, ConfusionMatrix, Error, Evaluation, PrecisionRecallFscore, Result, argmax, check,
};

/// What is measured of several labels a sample beside the report; a class is predicted where its probability is above ½.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiLabel {
    /// The fraction of samples of which every class is right.
    pub subset_accuracy: f64,
    /// The fraction of (sample, class) pairs that are wrong.
    pub hamming_loss: f64,
    /// The mean over samples of their precision, recall and F1; 0 where nothing was predicted or nothing holds.
    #[serde(rename = "samples avg")]
    pub samples_avg: PrecisionRecallFscore,
    /// The area under each class's curve of precision over recall, in steps; absent where no sample has the class.
    pub average_precision: Vec<Option<f64>>,
    /// The mean of these.
    pub mean_average_precision: f64,
}

/// Measures logits, each of which speaks for its class alone, against targets.
///
/// In the result `loss` is the mean binary cross-entropy of a (sample, class) pair, `top1` the fraction of samples whose
/// highest score is of a class that holds, and `confusion` is empty.
///
/// # Shapes
///
/// `targets` and `logits`: row-major `n × class_names.len()`; a class holds where its target is above ½.
///
/// # Errors
///
/// No samples, no classes, lengths that do not match, a logit that is not finite.
///
/// # Source
///
/// scikit-learn's `classification_report`, `accuracy_score`, `hamming_loss`, `average_precision_score` of indicators, with
/// `zero_division=0`.
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
    let precisions: Vec<Option<f64>> =
        all.iter().map(|&class| average_precision(column(class).map(|i| (logits[i], holds[i])).collect())).collect();
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

/// The probability of each class for itself: `1 / (1 + exp(-x))`.
pub fn sigmoid(logits: &[f32]) -> Vec<f32> {
    logits.iter().map(|x| (1.0 / (1.0 + (-f64::from(*x)).exp())) as f32).collect()
}

/// The logit of each probability, the inverse of [`sigmoid`]: `ln(p / (1 - p))`. Finite: 0 and 1 count as the nearest f32 between
/// them.
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

/// `max(x, 0) - x t + ln(1 + exp(-|x|))`, which no logit makes overflow.
fn binary_cross_entropy(target: f32, logit: f32) -> f64 {
    let (target, logit) = (f64::from(target), f64::from(logit));
    logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p()
}

/// The sum over thresholds of the gain in recall times the precision there; equal scores share a threshold.
fn average_precision(mut scored: Vec<(f32, bool)>) -> Option<f64> {
    let positives = scored.iter().filter(|(_, holds)| *holds).count();
    if positives == 0 {
        return None;
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut right, mut area) = (0, 0, 0.0);
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let gained = tied.iter().filter(|(_, holds)| *holds).count();
        (seen, right) = (seen + tied.len(), right + gained);
        area += gained as f64 / positives as f64 * right as f64 / seen as f64;
    }
    Some(area)
}

impl fmt::Display for MultiLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subset_accuracy, hamming_loss, mean_average_precision, samples_avg, .. } = self;
        write!(
            f,
            "mAP {:.2} %  samples F1 {:.4}  subset accuracy {:.2} %  Hamming loss {hamming_loss:.4}",
            100.0 * mean_average_precision,
            samples_avg.f1_score,
            100.0 * subset_accuracy,
        )
    }
}
