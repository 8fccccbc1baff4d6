//! How good a model's probabilities are, beyond which class is first: calibration, Brier score, ranking.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calibration::BINS;
use crate::{
    Result, average_precision_score, brier_score_loss, calibration, fit_temperature, mean_over_classes, one_vs_rest,
    roc_auc_score, softmax,
};

/// What is measured of probabilities. Prints as one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityReport {
    /// The expected calibration error over 15 bins, in 0 to 1.
    pub ece: f64,
    /// The Brier score, 0 to 2.
    pub brier: f64,
    /// The temperature that would make the log loss on these samples lowest: above 1, the model is too sure.
    pub temperature: f64,
    /// The area under the ROC curve, one class against the rest: the plain mean over classes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roc_auc_macro: Option<f64>,
    /// The same weighted by the classes' samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roc_auc_weighted: Option<f64>,
    /// Average precision, one class against the rest: the plain mean over classes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub average_precision_macro: Option<f64>,
}

/// Measures logits. Classes that have no samples, or all of them, are left out of the means over classes.
///
/// # Shapes
/// `logits`: row-major `labels.len() × classes`.
///
/// # Errors
/// No samples; labels or logits that do not fit.
pub fn probability_report(labels: &[usize], logits: &[f32], classes: usize) -> Result<ProbabilityReport> {
    let probabilities = softmax(logits, classes)?;
    let roc = one_vs_rest(labels, &probabilities, classes, roc_auc_score)?;
    let precision = one_vs_rest(labels, &probabilities, classes, average_precision_score)?;
    let roc = mean_over_classes(labels, &roc);
    Ok(ProbabilityReport {
        ece: calibration(labels, &probabilities, classes, BINS)?.ece,
        brier: brier_score_loss(labels, &probabilities, classes)?,
        temperature: fit_temperature(labels, logits, classes)?,
        roc_auc_macro: roc.map(|(plain, _)| plain),
        roc_auc_weighted: roc.map(|(_, weighted)| weighted),
        average_precision_macro: mean_over_classes(labels, &precision).map(|(plain, _)| plain),
    })
}

impl fmt::Display for ProbabilityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ECE {:.2} %  Brier {:.4}  best temperature {:.3}", 100.0 * self.ece, self.brier, self.temperature)?;
        if let (Some(auc), Some(precision)) = (self.roc_auc_macro, self.average_precision_macro) {
            write!(f, "  ROC AUC {auc:.4}  average precision {precision:.4} (one vs rest, macro)")?;
        }
        Ok(())
    }
}
