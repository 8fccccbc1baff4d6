#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`metric`] | the table of metrics: name, direction, computation |
//! | [`accuracy`] | accuracy, top-k accuracy |
//! | [`log_loss`](mod@log_loss) | cross-entropy, from probabilities or logits |
//! | [`confusion_matrix`](mod@confusion_matrix) | the confusion matrix, counts or normalised |
//! | [`precision_recall_fscore`] | precision, recall, F1 and support, per class and averaged |
//! | [`classification_report`](mod@classification_report) | these as a table |
//! | [`ranking`] | ROC and precision-recall curves, the areas under them, one class against the rest |
//! | [`calibration`](mod@calibration) | calibration error, Brier score, temperature scaling |
//! | [`probability_report`](mod@probability_report) | ranking and calibration in one report |
//! | [`multi_label`] | metrics of multi-label datasets |
//! | [`evaluation`] | the evaluation that a run's `metrics.json` holds |
//! | [`across_folds`] | means and confidence intervals over the folds of a cross-validation |
//! | [`student_t`] | quantiles of Student's t distribution |
//! | [`wilson`] | the confidence interval of a proportion, which stays within 0 to 1 |
//! | [`softmax`](mod@softmax) | logits to probabilities and predictions |
//! | `line_chart` | learning curves as SVG; needs the feature `plots` |

pub mod accuracy;
pub mod across_folds;
pub mod calibration;
pub mod classification_report;
pub mod confusion_matrix;
pub mod evaluation;
#[cfg(feature = "plots")]
pub mod line_chart;
pub mod log_loss;
pub mod metric;
pub mod multi_label;
pub mod precision_recall_fscore;
pub mod probability_report;
pub mod ranking;
pub mod softmax;
pub mod student_t;
pub mod wilson;

mod check;
mod error;
mod table_name;

pub use accuracy::{accuracy_score, top_k_accuracy_score};
pub use across_folds::{AcrossFolds, MeanInterval, MetricAcrossFolds};
pub use calibration::{
    Calibration, ReliabilityBin, brier_score_loss, calibration, fit_temperature, log_loss_at_temperature,
};
pub use classification_report::{ClassificationReport, classification_report, classification_report_of};
pub use confusion_matrix::{ConfusionMatrix, Normalize, confusion_matrix};
pub use error::{Error, Result};
pub use evaluation::{Evaluation, Scores, evaluate};
#[cfg(feature = "plots")]
pub use line_chart::{LineChart, Series};
pub use log_loss::{log_loss, log_loss_from_logits};
pub use metric::{METRICS, Metric};
pub use multi_label::{MultiLabel, evaluate_multi_label, logit, sigmoid};
pub use precision_recall_fscore::{Average, PrecisionRecallFscore, precision_recall_fscore_support};
pub use probability_report::{ProbabilityReport, probability_report};
pub use ranking::{
    PrecisionRecallCurve, RocCurve, average_precision_score, mean_over_classes, one_vs_rest, precision_recall_curve,
    roc_auc_score, roc_curve,
};
pub use softmax::{argmax, softmax};
pub use student_t::student_t_quantile;
pub use wilson::wilson_interval;
