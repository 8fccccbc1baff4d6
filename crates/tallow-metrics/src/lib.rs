//! Classification metrics with scikit-learn's names and numbers: plain functions over slices.
//!
//! Labels and predictions are `&[usize]`, class indices below the number of classes. Scores are `&[f32]`, row-major
//! `n × classes`: one row a sample, one column a class. Results serialise with serde and print as tables.
//!
//! One family a file:
//!
//! | module | what it computes |
//! |---|---|
//! | [`accuracy`] | accuracy, top-k accuracy |
//! | [`log_loss`](mod@log_loss) | cross-entropy, from probabilities or logits |
//! | [`confusion_matrix`](mod@confusion_matrix) | the k × k counts, normalised on request |
//! | [`precision_recall_fscore`] | precision, recall, F1 and support, per class and averaged |
//! | [`classification_report`](mod@classification_report) | the table of all of these |
//! | [`ranking`] | ROC and precision-recall curves, the areas under them, one class against the rest |
//! | [`calibration`](mod@calibration) | calibration error, Brier score, temperature scaling |
//! | [`probability_report`](mod@probability_report) | these last two families at once |
//! | [`softmax`](mod@softmax) | from logits to probabilities and predictions |
//! | [`curves`] | learning curves as SVG |
//! | [`across_folds`] | means and confidence intervals over the folds of a cross-validation |
//! | [`evaluation`] | everything at once, as written to a run's `metrics.json` |
//!
//! Where scikit-learn raises, an [`Error`] names the row at fault; where it warns and goes on, the function's
//! documentation says what it does here. Nothing panics.
//!
//! ```
//! use tallow_metrics::{Scores, evaluate};
//!
//! let classes = ["cat", "dog"].map(String::from);
//! let logits = [2.0, -1.0, /* next sample */ 0.5, 1.5, /* and the last */ 1.0, 0.0];
//! let evaluation = evaluate(&[0, 1, 1], Scores::Logits(&logits), &classes)?;
//! assert_eq!(evaluation.top1, 2.0 / 3.0);
//! println!("{evaluation}");
//! # Ok::<(), tallow_metrics::Error>(())
//! ```

pub mod accuracy;
pub mod across_folds;
pub mod calibration;
pub mod classification_report;
pub mod confusion_matrix;
pub mod curves;
pub mod evaluation;
pub mod log_loss;
pub mod multi_label;
pub mod precision_recall_fscore;
pub mod probability_report;
pub mod ranking;
pub mod softmax;
pub mod student_t;

mod check;
mod error;

pub use accuracy::{accuracy_score, top_k_accuracy_score};
pub use across_folds::{AcrossFolds, MeanInterval, MetricAcrossFolds};
pub use calibration::{
    Calibration, ReliabilityBin, brier_score_loss, calibration, fit_temperature, log_loss_at_temperature,
};
pub use classification_report::{ClassificationReport, classification_report, classification_report_of};
pub use confusion_matrix::{ConfusionMatrix, Normalize, confusion_matrix};
pub use curves::{Curve, curves_svg};
pub use error::{Error, Result};
pub use evaluation::{Evaluation, Scores, evaluate};
pub use log_loss::{log_loss, log_loss_from_logits};
pub use multi_label::{MultiLabel, evaluate_multi_label, logit, sigmoid};
pub use precision_recall_fscore::{Average, PrecisionRecallFscore, precision_recall_fscore_support};
pub use probability_report::{ProbabilityReport, probability_report};
pub use ranking::{
    PrecisionRecallCurve, RocCurve, average_precision_score, mean_over_classes, one_vs_rest, precision_recall_curve,
    roc_auc_score, roc_curve,
};
pub use softmax::{argmax, softmax};
pub use student_t::student_t_quantile;
