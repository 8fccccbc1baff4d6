//! Metrics over the folds of a cross-validation: mean, standard deviation and confidence intervals.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::student_t::student_t_quantile;
use crate::wilson::wilson_interval;
use crate::{Error, Evaluation, METRICS, Metric, ProbabilityReport, Result};

/// The confidence level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// A mean with its confidence intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanInterval {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a value, with `n - 1` degrees of freedom; 0 for a single value.
    pub std: f64,
    /// The 95 % confidence interval of the mean by Student's t, under the assumption that the values are independent;
    /// absent for a single value. Of a metric with a highest value, it is that of [`within`](Self::within).
    pub interval: Option<(f64, f64)>,
    /// The 95 % interval corrected for overlapping training sets: the standard error is std · √(1/n + test/train).
    pub corrected: Option<(f64, f64)>,
}

impl MeanInterval {
    /// The mean and intervals of `values`. `test_share` is the number of test samples divided by the number of training
    /// samples: 1 / (k − 1) for k folds.
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

    /// As [`of`](Self::of), with intervals that stay within the `range` of the values: Wilson's score interval with the
    /// quantile of Student's t, for the number of independent samples at which a proportion has the variance of the mean.
    /// Folds that agree exactly have no variance: then it is the number of `samples` that were measured. A range without
    /// a highest value cuts the intervals of `of` at its lowest.
    ///
    /// # Errors
    /// No values.
    ///
    /// # Source
    /// Wilson 1927, "Probable inference"; the effective number of samples as in Korn & Graubard 1998.
    pub fn within(range: (f64, f64), values: &[f64], test_share: f64, samples: usize) -> Result<Self> {
        let plain = Self::of(values, test_share)?;
        let (low, width) = (range.0, range.1 - range.0);
        if values.len() == 1 {
            return Ok(plain);
        }
        if !width.is_finite() {
            let cut = |interval: Option<(f64, f64)>| interval.map(|(from, to)| (from.max(low), to));
            return Ok(Self { interval: cut(plain.interval), corrected: cut(plain.corrected), ..plain });
        }
        let (n, t) = (values.len() as f64, student_t_quantile(CONFIDENCE, values.len() - 1));
        let share = (plain.mean - low) / width;
        let around = |factor: f64| {
            let variance = (plain.std / width).powi(2) * factor;
            let effective = if variance > 0.0 { share * (1.0 - share) / variance } else { samples as f64 };
            let (from, to) = wilson_interval(share, effective, t);
            Some((low + width * from, low + width * to))
        };
        Ok(Self { interval: around(1.0 / n), corrected: around(1.0 / n + test_share), ..plain })
    }
}

/// The values of a metric over the folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricAcrossFolds {
    /// The metric's name: `top1`, `loss`, …
    pub name: String,
    /// The value of each fold.
    pub values: Vec<f64>,
    /// The mean and intervals of the values.
    #[serde(flatten)]
    pub summary: MeanInterval,
}

/// Every metric over the folds. Prints as a table, a row per metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcrossFolds {
    /// The metrics, in the order of [`METRICS`].
    pub metrics: Vec<MetricAcrossFolds>,
}

impl AcrossFolds {
    /// Summarises the evaluations of the folds' held-out samples; on a single-label dataset with their probability
    /// reports. `trained` is the number of training samples, summed over the folds. A metric that is undefined in some
    /// fold is left out.
    ///
    /// # Errors
    /// No folds.
    pub fn of(folds: &[(Evaluation, Option<ProbabilityReport>)], trained: usize) -> Result<Self> {
        if folds.is_empty() {
            return Err(Error::Empty);
        }
        let held_out: usize = folds.iter().map(|(evaluation, _)| evaluation.n).sum();
        let test_share = held_out as f64 / trained as f64;
        let of = |metric: &&Metric| {
            let value = |(evaluation, probabilities): &(Evaluation, Option<ProbabilityReport>)| {
                metric.of(evaluation, probabilities.as_ref())
            };
            let values: Vec<f64> = folds.iter().map(value).collect::<Option<_>>()?;
            let summary = MeanInterval::within(metric.range, &values, test_share, held_out);
            Some(summary.map(|summary| MetricAcrossFolds { name: metric.name.to_owned(), values, summary }))
        };
        Ok(Self { metrics: METRICS.iter().filter_map(of).collect::<Result<_>>()? })
    }
}

impl fmt::Display for AcrossFolds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |interval: Option<(f64, f64)>| match interval {
            Some((low, high)) => format!("{low:.4} to {high:.4}"),
            None => "–".to_owned(),
        };
        let width = self.metrics.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
        write!(f, "{:width$}  {:>7}  {:>7}  {:>17}  {:>17}", "", "mean", "std", "95 % interval", "corrected")?;
        for MetricAcrossFolds { name, summary, .. } in &self.metrics {
            let MeanInterval { mean, std, interval, corrected } = *summary;
            write!(f, "\n{name:width$}  {mean:7.4}  {std:7.4}  {:>17}  {:>17}", range(interval), range(corrected))?;
        }
        Ok(())
    }
}
