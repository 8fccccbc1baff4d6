//! The classification report: a table of precision, recall, F1 and support per class, and their averages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Average, ConfusionMatrix, Error, PrecisionRecallFscore, Result, check, confusion_matrix,
    precision_recall_fscore::{Counts, average},
    precision_recall_fscore_support,
};

/// Precision, recall, F1 and support per class, and averaged. Prints in scikit-learn's layout, with two decimals;
/// `{report:.4}` prints four. One difference: if no prediction is right, scikit-learn prints the support as `1.0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationReport {
    /// The rows, one per class.
    pub classes: Vec<ClassScores>,
    /// The fraction of right predictions; absent if the report leaves out classes that occur.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accuracy: Option<f64>,
    /// The average from the summed counts of the reported classes; present if `accuracy` is absent, else equal to it.
    #[serde(rename = "micro avg", skip_serializing_if = "Option::is_none", default)]
    pub micro_avg: Option<PrecisionRecallFscore>,
    /// The unweighted mean over the reported classes.
    #[serde(rename = "macro avg")]
    pub macro_avg: PrecisionRecallFscore,
    /// The mean over the reported classes, weighted by support.
    #[serde(rename = "weighted avg")]
    pub weighted_avg: PrecisionRecallFscore,
}

/// The row of one class in a [`ClassificationReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The class's name.
    pub name: String,
    /// The class's precision, recall, F1 and support.
    #[serde(flatten)]
    pub scores: PrecisionRecallFscore,
}

/// The report over all classes; a ratio whose divisor is 0 is 0.
///
/// # Errors
///
/// No samples, no classes, different numbers of labels and predictions, or a class index out of range.
///
/// # Source
///
/// `sklearn.metrics.classification_report` with `labels=range(k), target_names=class_names, zero_division=0`.
pub fn classification_report(
    labels: &[usize],
    predictions: &[usize],
    class_names: &[String],
) -> Result<ClassificationReport> {
    Ok(ClassificationReport::of(&confusion_matrix(labels, predictions, class_names)?))
}

/// The report over the classes in `chosen`, in that order. If it leaves out a class that occurs among labels or
/// predictions, it has a micro average instead of the accuracy.
///
/// # Errors
///
/// The errors of [`classification_report`]; a chosen class that is out of range or repeated; no chosen class.
///
/// # Source
///
/// `sklearn.metrics.classification_report` with `labels=chosen, zero_division=0`.
pub fn classification_report_of(
    labels: &[usize],
    predictions: &[usize],
    class_names: &[String],
    chosen: &[usize],
) -> Result<ClassificationReport> {
    let matrix = confusion_matrix(labels, predictions, class_names)?;
    if chosen.is_empty() {
        return Err(Error::Classes { needed: 1, found: 0 });
    }
    check::labels("chosen class", chosen, class_names.len())?;
    let mut seen = vec![false; class_names.len()];
    for &class in chosen {
        if std::mem::replace(&mut seen[class], true) {
            return Err(Error::ChosenTwice { class });
        }
    }
    Ok(ClassificationReport::over(&matrix, chosen))
}

impl ClassificationReport {
    /// The report over all classes of a confusion matrix.
    pub fn of(matrix: &ConfusionMatrix) -> Self {
        let all: Vec<usize> = (0..matrix.class_names().len()).collect();
        Self::over(matrix, &all)
    }

    /// The report of a multi-label dataset, with a micro average instead of the accuracy.
    pub(crate) fn of_counts(class_names: &[String], counts: &[Counts]) -> Self {
        let all: Vec<usize> = (0..counts.len()).collect();
        let row = |(name, counts): (&String, &Counts)| ClassScores { name: name.clone(), scores: counts.ratios() };
        Self {
            classes: class_names.iter().zip(counts).map(row).collect(),
            accuracy: None,
            micro_avg: Some(Counts::average(counts, &all, Average::Micro)),
            macro_avg: Counts::average(counts, &all, Average::Macro),
            weighted_avg: Counts::average(counts, &all, Average::Weighted),
        }
    }

    fn over(matrix: &ConfusionMatrix, chosen: &[usize]) -> Self {
        let (support, predicted) = (matrix.support(), matrix.predicted());
        let left_out = |class: usize| support[class] + predicted[class] > 0 && !chosen.contains(&class);
        let complete = !(0..support.len()).any(left_out);
        let micro = average(matrix, chosen, Average::Micro);
        let scores = precision_recall_fscore_support(matrix);
        let row = |&class: &usize| ClassScores { name: matrix.class_names()[class].clone(), scores: scores[class] };
        Self {
            classes: chosen.iter().map(row).collect(),
            accuracy: complete.then_some(micro.f1_score),
            micro_avg: (!complete).then_some(micro),
            macro_avg: average(matrix, chosen, Average::Macro),
            weighted_avg: average(matrix, chosen, Average::Weighted),
        }
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let names = self.classes.iter().map(|class| class.name.as_str()).chain(["weighted avg"]);
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max(digits);
        let row = |f: &mut fmt::Formatter<'_>, name: &str, scores: &PrecisionRecallFscore| {
            let PrecisionRecallFscore { precision, recall, f1_score, support } = scores;
            writeln!(f, "{name:>width$}  {precision:>9.digits$} {recall:>9.digits$} {f1_score:>9.digits$} {support:>9}")
        };

        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        for class in &self.classes {
            row(f, &class.name, &class.scores)?;
        }
        writeln!(f)?;
        if let Some(accuracy) = self.accuracy {
            let support = self.macro_avg.support;
            writeln!(f, "{:>width$}  {:>9} {:>9} {accuracy:>9.digits$} {support:>9}", "accuracy", "", "")?;
        }
        if let Some(micro) = &self.micro_avg {
            row(f, "micro avg", micro)?;
        }
        row(f, "macro avg", &self.macro_avg)?;
        row(f, "weighted avg", &self.weighted_avg)
    }
}
