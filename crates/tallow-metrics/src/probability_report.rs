//! The quality of a model's probabilities: calibration, Brier score and ranking.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calibration::{BINS, BRIER, ECE};
use crate::ranking::{AVERAGE_PRECISION_MACRO, ROC_AUC_MACRO};
use crate::{
    Result, average_precision_score, brier_score_loss, calibration, fit_temperature, mean_over_classes, one_vs_rest,
    roc_auc_score, softmax,
};

/// The metrics of a model's class probabilities. Prints as one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityReport {
    /// The expected calibration error over 15 bins, 0 to 1.
    pub ece: f64,
    /// The Brier score, 0 to 2.
    pub brier: f64,
    /// The temperature that minimises the log loss on these samples; above 1, the model is overconfident.
    pub temperature: f64,
    /// The area under the ROC curve of each class against the rest: the unweighted mean over classes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roc_auc_macro: Option<f64>,
    /// The same, weighted by the classes' samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roc_auc_weighted: Option<f64>,
    /// The average precision of each class against the rest: the unweighted mean over classes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub average_precision_macro: Option<f64>,
}

/// Computes the report from logits. Classes that have no sample, or all samples, are left out of the means over
/// classes.
///
/// # Shapes
/// `logits`: row-major `labels.len() × classes`.
///
/// # Errors
/// No samples, a label out of range, a wrong number of logits, or a logit that is not finite.
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
        write!(f, "{}  {}  best temperature {:.3}", ECE.format(self.ece), BRIER.format(self.brier), self.temperature)?;
        if let (Some(auc), Some(precision)) = (self.roc_auc_macro, self.average_precision_macro) {
            let (auc, precision) = (ROC_AUC_MACRO.format(auc), AVERAGE_PRECISION_MACRO.format(precision));
            write!(f, "  {auc}  {precision} (one vs rest, macro)")?;
        }
        Ok(())
    }
}
