//! Precision, recall, F1 and support: per class, and averaged over classes.

use serde::{Deserialize, Serialize};

use crate::ConfusionMatrix;
use crate::metric::{Compute, Direction, Metric, Unit};

/// F1, the unweighted mean over classes.
pub static MACRO_F1: Metric =
    average_metric("macro_f1", "f1_score(average=\"macro\")", |evaluation| Some(evaluation.report.macro_avg.f1_score));

/// Precision, the unweighted mean over classes.
pub static MACRO_PRECISION: Metric =
    average_metric("macro_precision", "precision_score(average=\"macro\")", |evaluation| {
        Some(evaluation.report.macro_avg.precision)
    });

/// Recall, the unweighted mean over classes: the balanced accuracy, if every class has samples.
pub static MACRO_RECALL: Metric = average_metric("macro_recall", "recall_score(average=\"macro\")", |evaluation| {
    Some(evaluation.report.macro_avg.recall)
});

/// F1, the mean over classes weighted by support.
pub static WEIGHTED_F1: Metric = average_metric("weighted_f1", "f1_score(average=\"weighted\")", |evaluation| {
    Some(evaluation.report.weighted_avg.f1_score)
});

const fn average_metric(
    name: &'static str,
    sklearn: &'static str,
    compute: fn(&crate::Evaluation) -> Option<f64>,
) -> Metric {
    Metric {
        name,
        label: name,
        sklearn,
        direction: Direction::HigherIsBetter,
        unit: Unit::Number,
        range: (0.0, 1.0),
        compute: Compute::Evaluation(compute),
    }
}

/// Precision, recall, F1 and support of one class, or an average over classes. Each ratio is in 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallFscore {
    /// The fraction of the samples predicted as the class that belong to it; 0 if none was predicted.
    pub precision: f64,
    /// The fraction of the samples of the class that are predicted as it; 0 if the class has no samples.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 if the class has neither samples nor predictions.
    #[serde(rename = "f1-score")]
    pub f1_score: f64,
    /// The number of samples of the class.
    pub support: u64,
}

/// How values of classes are averaged; scikit-learn's `average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// Computed from the summed counts of the classes. Over all classes, precision, recall and F1 equal the accuracy.
    Micro,
    /// The unweighted mean over classes, including classes without samples.
    Macro,
    /// The mean over classes weighted by support; 0 if no class has samples.
    Weighted,
}

/// Precision, recall, F1 and support of each class of the matrix, in its order, with scikit-learn's `zero_division=0`.
///
/// # Source
///
/// `sklearn.metrics.precision_recall_fscore_support` with `average=None`.
pub fn precision_recall_fscore_support(matrix: &ConfusionMatrix) -> Vec<PrecisionRecallFscore> {
    Counts::of(matrix).iter().map(Counts::ratios).collect()
}

/// The average over the classes in `chosen`; a class index out of range is ignored.
///
/// # Source
///
/// `sklearn.metrics.precision_recall_fscore_support` with `labels=chosen, average=…`.
pub fn average(matrix: &ConfusionMatrix, chosen: &[usize], by: Average) -> PrecisionRecallFscore {
    Counts::average(&Counts::of(matrix), chosen, by)
}

/// The counts behind the ratios of one class, or of one sample of a multi-label dataset.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) correct: u64,
    pub(crate) predicted: u64,
    pub(crate) support: u64,
}

impl Counts {
    /// The average over the counts whose index is in `chosen`.
    pub(crate) fn average(counts: &[Self], chosen: &[usize], by: Average) -> PrecisionRecallFscore {
        let chosen: Vec<&Counts> = chosen.iter().filter_map(|&class| counts.get(class)).collect();
        let total = chosen.iter().fold(Counts::default(), |sum, class| sum.plus(class));
        let weight: fn(&Counts) -> f64 = match by {
            Average::Micro => return total.ratios(),
            Average::Macro => |_| 1.0,
            Average::Weighted => |class| class.support as f64,
        };
        let weights: f64 = chosen.iter().map(|class| weight(class)).sum();
        let mean = |ratio: fn(&PrecisionRecallFscore) -> f64| {
            let sum: f64 = chosen.iter().map(|class| weight(class) * ratio(&class.ratios())).sum();
            if weights == 0.0 { 0.0 } else { sum / weights }
        };
        PrecisionRecallFscore {
            precision: mean(|class| class.precision),
            recall: mean(|class| class.recall),
            f1_score: mean(|class| class.f1_score),
            support: total.support,
        }
    }

    fn of(matrix: &ConfusionMatrix) -> Vec<Self> {
        let sums = matrix.predicted().into_iter().zip(matrix.support());
        let classes = matrix.counts().iter().enumerate().zip(sums);
        classes.map(|((class, row), (predicted, support))| Self { correct: row[class], predicted, support }).collect()
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            correct: self.correct + other.correct,
            predicted: self.predicted + other.predicted,
            support: self.support + other.support,
        }
    }

    pub(crate) fn ratios(&self) -> PrecisionRecallFscore {
        let ratio = |part: u64, whole: u64| {
            if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
        };
        PrecisionRecallFscore {
            precision: ratio(self.correct, self.predicted),
            recall: ratio(self.correct, self.support),
            // 2·TP / (2·TP + FP + FN), which has a value where precision and recall are both 0.
            f1_score: ratio(2 * self.correct, self.predicted + self.support),
            support: self.support,
        }
    }
}
