//! What the evaluations of several folds say together: mean, deviation and confidence interval of every metric.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::student_t::student_t_quantile;
use crate::{Error, Evaluation, ProbabilityReport, Result};

/// The confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// A mean with its confidence intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanInterval {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of one value, of `n - 1` degrees of freedom; 0 of a single value.
    pub std: f64,
    /// The 95 % confidence interval of the mean by Student's t, as if the values were independent. Absent of a single
    /// value.
    pub interval: Option<(f64, f64)>,
    /// The same with a standard error that allows for values whose training samples overlap: std · √(1/n + test/train).
    pub corrected: Option<(f64, f64)>,
}

impl MeanInterval {
    /// Of `values`, each measured on `test_share` times as many samples as were trained on: 1 / (k − 1) of k folds.
    ///
    /// # Errors
    /// No values.
    ///
    /// # Source
    /// Nadeau & Bengio 2003, "Inference for the generalization error" (the corrected resampled t-test).
    pub fn of(values: &[f64], test_share: f64) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::Empty);
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        if values.len() == 1 {
            return Ok(Self { mean, std: 0.0, interval: None, corrected: None });
        }
        let std = (squares / (n - 1.0)).sqrt();
        let t = student_t_quantile(CONFIDENCE, values.len() - 1);
        let around = |variance: f64| Some((mean - t * std * variance.sqrt(), mean + t * std * variance.sqrt()));
        Ok(Self { mean, std, interval: around(1.0 / n), corrected: around(1.0 / n + test_share) })
    }
}

/// A metric's values over the folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricAcrossFolds {
    /// Its name: `top1`, `loss`, …
    pub name: String,
    /// Fold by fold.
    pub values: Vec<f64>,
    /// Together.
    #[serde(flatten)]
    pub summary: MeanInterval,
}

/// Every metric over the folds. Prints as a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcrossFolds {
    /// A row a metric.
    pub metrics: Vec<MetricAcrossFolds>,
}

impl AcrossFolds {
    /// Of what was measured of the folds' held-out samples (of their probabilities where one class holds for a sample), whose models were trained on `trained` samples, all folds added
    /// up. A metric that some fold does not have is left out.
    ///
    /// # Errors
    /// No folds.
    pub fn of(folds: &[(Evaluation, Option<ProbabilityReport>)], trained: usize) -> Result<Self> {
        let first = folds.first().ok_or(Error::Empty)?;
        let held_out: usize = folds.iter().map(|(evaluation, _)| evaluation.n).sum();
        let test_share = held_out as f64 / trained as f64;
        let value = |fold: &(Evaluation, Option<ProbabilityReport>), name: &str| {
            scalars(fold).into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
        };
        let of = |(name, _): (&str, f64)| {
            let values: Vec<f64> = folds.iter().map(|fold| value(fold, name)).collect::<Option<_>>()?;
            let summary = MeanInterval::of(&values, test_share);
            Some(summary.map(|summary| MetricAcrossFolds { name: name.to_owned(), values, summary }))
        };
        Ok(Self { metrics: scalars(first).into_iter().filter_map(of).collect::<Result<_>>()? })
    }
}

/// The numbers that stand for all samples of a fold, by name.
fn scalars((evaluation, probabilities): &(Evaluation, Option<ProbabilityReport>)) -> Vec<(&'static str, f64)> {
    let report = &evaluation.report;
    let mut scalars = vec![("top1", evaluation.top1)];
    scalars.extend(evaluation.top5.map(|top5| ("top5", top5)));
    scalars.extend([
        ("loss", evaluation.loss),
        ("macro_f1", report.macro_avg.f1_score),
        ("macro_precision", report.macro_avg.precision),
        ("macro_recall", report.macro_avg.recall),
        ("weighted_f1", report.weighted_avg.f1_score),
    ]);
    if let Some(probabilities) = probabilities {
        scalars.extend(probabilities.roc_auc_macro.map(|auc| ("roc_auc_macro", auc)));
        scalars.extend([("brier", probabilities.brier), ("ece", probabilities.ece)]);
    }
    if let Some(several) = &evaluation.multi_label {
        scalars.extend([
            ("map", several.mean_average_precision),
            ("samples_f1", several.samples_avg.f1_score),
            ("subset_accuracy", several.subset_accuracy),
            ("hamming_loss", several.hamming_loss),
        ]);
    }
    scalars
}

impl fmt::Display for AcrossFolds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |interval: Option<(f64, f64)>| match interval {
            Some((low, high)) => format!("{low:.4} to {high:.4}"),
            None => "–".to_owned(),
        };
        write!(f, "{:15}  {:>7}  {:>7}  {:>17}  {:>17}", "", "mean", "std", "95 % interval", "corrected")?;
        for MetricAcrossFolds { name, summary, .. } in &self.metrics {
            let MeanInterval { mean, std, interval, corrected } = *summary;
            write!(f, "\n{name:15}  {mean:7.4}  {std:7.4}  {:>17}  {:>17}", range(interval), range(corrected))?;
        }
        Ok(())
    }
}
