//! Precision, recall, F1 and support: of each class, and averaged over classes.

use serde::{Deserialize, Serialize};

use crate::ConfusionMatrix;

/// The four numbers of a class, or of an average over classes. Each ratio is in 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallFscore {
    /// Of the samples predicted as the class, the fraction that belongs to it; 0 where none was predicted.
    pub precision: f64,
    /// Of the samples of the class, the fraction predicted as it; 0 where there are none.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 where the class has neither samples nor predictions.
    #[serde(rename = "f1-score")]
    pub f1_score: f64,
    /// The number of samples of the class.
    pub support: u64,
}

/// How numbers of classes become one; scikit-learn's `average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// From the classes' counts added up. Over all classes, its precision, recall and F1 are the accuracy.
    Micro,
    /// The plain mean over classes, also over those without samples.
    Macro,
    /// The mean weighted by support; 0 where no class has samples.
    Weighted,
}

/// The numbers of each class of the matrix, in its order, with scikit-learn's `zero_division=0`.
///
/// # Source
///
/// `sklearn.metrics.precision_recall_fscore_support` with `average=None`.
pub fn precision_recall_fscore_support(matrix: &ConfusionMatrix) -> Vec<PrecisionRecallFscore> {
    Counts::of(matrix).iter().map(Counts::ratios).collect()
}

/// The average of the numbers over the classes in `chosen`; a class index out of range is left out.
///
/// # Source
///
/// `sklearn.metrics.precision_recall_fscore_support` with `labels=chosen, average=…`.
pub fn average(matrix: &ConfusionMatrix, chosen: &[usize], by: Average) -> PrecisionRecallFscore {
    Counts::average(&Counts::of(matrix), chosen, by)
}

/// What the ratios of a class (or of a sample with several labels) are made of.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) correct: u64,
    pub(crate) predicted: u64,
    pub(crate) support: u64,
}

impl Counts {
    /// The average over those in `chosen`.
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
