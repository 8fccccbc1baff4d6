//! Everything that is measured of a model on one split: what a run's `metrics.json` holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ClassificationReport, ConfusionMatrix, MultiLabel, Result, accuracy_score, argmax, check, confusion_matrix,
    log_loss::mean_log_loss, log_loss_from_logits, top_k_accuracy_score,
};

/// The summary of an evaluation. Prints as one line of totals and the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The number of samples.
    pub n: usize,
    /// The mean cross-entropy in nats, without label smoothing or weights.
    pub loss: f64,
    /// The fraction of samples whose highest score is their label's, in 0 to 1; of equal scores the first counts.
    pub top1: f64,
    /// The fraction of samples whose label is among the five highest scores; absent with five classes or fewer, where
    /// it would be 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub top5: Option<f64>,
    /// Which class was taken for which; absent where several classes can hold at once.
    #[serde(skip_serializing_if = "ConfusionMatrix::is_empty", default = "ConfusionMatrix::empty")]
    pub confusion: ConfusionMatrix,
    /// Precision, recall, F1 and support.
    pub report: ClassificationReport,
    /// What else is measured where several classes can hold at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub multi_label: Option<MultiLabel>,
}

/// What a model put out: row-major, one row a sample, one column a class.
#[derive(Debug, Clone, Copy)]
pub enum Scores<'a> {
    /// The last layer's output, any finite numbers.
    Logits(&'a [f32]),
    /// Distributions: each row in 0 to 1 with the sum 1.
    Probabilities(&'a [f32]),
}

/// Measures the scores of a model against the labels, over all of `class_names`.
///
/// # Shapes
///
/// `scores`: `labels.len() × class_names.len()`.
///
/// # Errors
///
/// No samples, no classes, a label out of range, a wrong number of scores, a score that is not finite; of
/// probabilities, a row that is not a distribution.
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

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n {}  loss {:.4}  top-1 {:.2} %", self.n, self.loss, 100.0 * self.top1)?;
        if let Some(top5) = self.top5 {
            write!(f, "  top-5 {:.2} %", 100.0 * top5)?;
        }
        if let Some(multi_label) = &self.multi_label {
            write!(f, "  {multi_label}")?;
        }
        write!(f, "\n\n{}", self.report)
    }
}
