//! The evaluation of a model on one split: the contents of a run's `metrics.json`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accuracy::{TOP1, TOP5};
use crate::log_loss::LOSS;
use crate::{
    ClassificationReport, ConfusionMatrix, MultiLabel, Result, accuracy_score, argmax, check, confusion_matrix,
    log_loss::mean_log_loss, log_loss_from_logits, top_k_accuracy_score,
};

/// The metrics of a model on one split. Prints as a line of totals and the classification report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The number of samples.
    pub n: usize,
    /// The mean cross-entropy in nats, without label smoothing or class weights.
    pub loss: f64,
    /// The fraction of samples whose highest score is that of their label, 0 to 1; the first of equal scores counts.
    pub top1: f64,
    /// The fraction of samples whose label is among the five highest scores, 0 to 1; absent with five classes or fewer,
    /// where it would be 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub top5: Option<f64>,
    /// The confusion matrix; absent for multi-label datasets.
    #[serde(skip_serializing_if = "ConfusionMatrix::is_empty", default = "ConfusionMatrix::empty")]
    pub confusion: ConfusionMatrix,
    /// Precision, recall, F1 and support per class, and averaged.
    pub report: ClassificationReport,
    /// Metrics that only multi-label datasets have.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub multi_label: Option<MultiLabel>,
}

/// A model's output: row-major, a row per sample, a column per class.
#[derive(Debug, Clone, Copy)]
pub enum Scores<'a> {
    /// The output of the last layer; any finite numbers.
    Logits(&'a [f32]),
    /// Probabilities: values in 0 to 1, rows that sum to 1.
    Probabilities(&'a [f32]),
}

/// Evaluates the scores of a model against the labels, over all classes in `class_names`.
///
/// # Shapes
///
/// `scores`: `labels.len() × class_names.len()`.
///
/// # Errors
///
/// No samples, no classes, a label out of range, a wrong number of scores, a score that is not finite, or probabilities
/// that do not sum to 1.
pub fn evaluate(labels: &[usize], scores: Scores<'_>, class_names: &[String]) -> Result<Evaluation> {
    let classes = class_names.len();
    check::labels("label", labels, classes)?;
    let (values, loss) = match scores {
        Scores::Logits(values) => (values, log_loss_from_logits(labels, values, classes)?),
        Scores::Probabilities(values) => (values, mean_log_loss(labels, values, classes)?),
    };
    let predictions = argmax(values, classes)?;
    let confusion = confusion_matrix(labels, &predictions, class_names)?;
    let top5 = if classes > 5 { Some(top_k_accuracy_score(labels, values, classes, 5)?) } else { None };
    Ok(Evaluation {
        n: labels.len(),
        loss,
        top1: accuracy_score(labels, &predictions)?,
        top5,
        report: ClassificationReport::of(&confusion),
        confusion,
        multi_label: None,
    })
}

impl Evaluation {
    /// The totals in one line: `n 10000  loss 0.2310  top-1 94.88 %  top-5 99.80 %`, and the multi-label metrics.
    pub fn totals(&self) -> String {
        let metrics = [&LOSS, &TOP1, &TOP5].into_iter();
        let mut totals: String =
            metrics.filter_map(|metric| Some(format!("  {}", metric.format(metric.of(self, None)?)))).collect();
        if let Some(multi_label) = &self.multi_label {
            totals += &format!("  {multi_label}");
        }
        format!("n {}{totals}", self.n)
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.totals(), self.report)
    }
}
