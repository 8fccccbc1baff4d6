//! The table of metrics: name, direction and computation of every number that summarises an evaluation.
//!
//! Early stopping, hyper-parameter search, cross-validation and the printed totals read [`METRICS`]. To add a metric,
//! write its file with the function and a `static` of type [`Metric`], and add its row to the table.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Evaluation, MultiLabel, ProbabilityReport};
use crate::{accuracy, calibration, log_loss, multi_label, precision_recall_fscore, ranking};

/// Every metric, in the order in which tables show them.
pub static METRICS: &[&Metric] = &[
    &accuracy::TOP1,
    &accuracy::TOP5,
    &log_loss::LOSS,
    &precision_recall_fscore::MACRO_F1,
    &precision_recall_fscore::MACRO_PRECISION,
    &precision_recall_fscore::MACRO_RECALL,
    &precision_recall_fscore::WEIGHTED_F1,
    &ranking::ROC_AUC_MACRO,
    &ranking::ROC_AUC_WEIGHTED,
    &ranking::AVERAGE_PRECISION_MACRO,
    &calibration::BRIER,
    &calibration::ECE,
    &multi_label::MAP,
    &multi_label::SAMPLES_F1,
    &multi_label::SUBSET_ACCURACY,
    &multi_label::HAMMING_LOSS,
];

/// A number that summarises an evaluation. Metrics are equal if their names are.
#[derive(Debug)]
pub struct Metric {
    /// The name in configs and result files, such as `macro_f1`.
    pub name: &'static str,
    /// The name in printed totals, such as `top-1`.
    pub label: &'static str,
    /// The scikit-learn call that gives the same number.
    pub sklearn: &'static str,
    /// Whether a higher or a lower value is better.
    pub direction: Direction,
    /// How the value is printed.
    pub unit: Unit,
    /// The lowest and the highest value there can be.
    pub range: (f64, f64),
    /// What the value is computed from, and how.
    pub compute: Compute,
}

/// Whether a higher or a lower value of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Accuracy, F1, areas under curves.
    HigherIsBetter,
    /// Losses and errors.
    LowerIsBetter,
}

/// How a metric's value is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A fraction, printed as a percentage with two decimals.
    Percent,
    /// A number with four decimals.
    Number,
}

/// What a metric is computed from. `None` means that it is undefined for these samples or classes.
#[derive(Debug, Clone, Copy)]
pub enum Compute {
    /// From the evaluation of a single-label or a multi-label dataset. Training can select epochs by such a metric.
    Evaluation(fn(&Evaluation) -> Option<f64>),
    /// From the class probabilities of a single-label dataset.
    Probabilities(fn(&ProbabilityReport) -> Option<f64>),
    /// From the evaluation of a multi-label dataset. Training can select epochs by such a metric.
    MultiLabel(fn(&MultiLabel) -> Option<f64>),
}

impl Metric {
    /// The metric called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        METRICS.iter().copied().find(|metric| metric.name == name)
    }

    /// The names of the metrics by which training can select epochs: those that need no probabilities. Some are undefined for
    /// some data, as `map` is for one label per sample.
    pub fn selectable() -> &'static [&'static str] {
        static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let needs_probabilities = |metric: &Metric| matches!(metric.compute, Compute::Probabilities(_));
            METRICS.iter().filter(|metric| !needs_probabilities(metric)).map(|metric| metric.name).collect()
        });
        &NAMES
    }

    /// The metric's value, or `None` where it is undefined or needs probabilities or several labels that are absent.
    pub fn of(&self, evaluation: &Evaluation, probabilities: Option<&ProbabilityReport>) -> Option<f64> {
        match self.compute {
            Compute::Evaluation(compute) => compute(evaluation),
            Compute::Probabilities(compute) => probabilities.and_then(compute),
            Compute::MultiLabel(compute) => evaluation.multi_label.as_ref().and_then(compute),
        }
    }

    /// The value by which epochs and trials are compared; the accuracy where the metric is undefined, as top-5 accuracy
    /// is with five classes or fewer.
    pub fn selection_value(&self, evaluation: &Evaluation) -> f64 {
        self.of(evaluation, None).unwrap_or(evaluation.top1)
    }

    /// The metric's value, negated where lower is better, or the accuracy where it is undefined: the higher score always wins.
    pub fn score(&self, evaluation: &Evaluation) -> f64 {
        match self.of(evaluation, None) {
            Some(value) if self.higher_is_better() => value,
            Some(value) => -value,
            None => evaluation.top1,
        }
    }

    /// The name of the score: the metric's name, with a minus sign where lower is better.
    pub fn score_name(&self) -> String {
        if self.higher_is_better() { self.name.to_owned() } else { format!("-{}", self.name) }
    }

    /// Whether a higher value is better.
    pub fn higher_is_better(&self) -> bool {
        self.direction == Direction::HigherIsBetter
    }

    /// A value with its label, as totals print it: `top-1 93.20 %`.
    pub fn format(&self, value: f64) -> String {
        match self.unit {
            Unit::Percent => format!("{} {:.2} %", self.label, 100.0 * value),
            Unit::Number => format!("{} {value:.4}", self.label),
        }
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Metric {}

/// Serialises as its name.
impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// Deserialises from one of the names in [`Metric::selectable`].
impl<'de> Deserialize<'de> for &'static Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let selectable = Metric::selectable();
        let unknown = || de::Error::unknown_variant(&name, selectable);
        Metric::find(&name).filter(|metric| selectable.contains(&metric.name)).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scores, evaluate};

    #[test]
    fn names_are_unique_and_read_back() {
        for (row, metric) in METRICS.iter().enumerate() {
            assert_eq!(METRICS.iter().position(|other| other.name == metric.name), Some(row));
            let text = serde_json::to_string(metric).unwrap();
            let read = serde_json::from_str::<&'static Metric>(&text);
            match metric.compute {
                Compute::Evaluation(_) | Compute::MultiLabel(_) => assert_eq!(read.unwrap(), *metric),
                Compute::Probabilities(_) => {
                    assert!(read.unwrap_err().to_string().contains("expected one of `top1`, `top5`, `loss`"))
                }
            }
        }
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let docs = std::fs::read_to_string(path).unwrap();
        let better = |metric: &Metric| if metric.higher_is_better() { "higher" } else { "lower" };
        for metric in METRICS {
            let row = format!("| `{}` | {} |", metric.name, better(metric));
            assert!(docs.contains(&row), "{row}");
        }
    }

    #[test]
    fn a_higher_score_is_better() {
        let classes = ["a", "b"].map(String::from);
        let of = |logits: &[f32]| evaluate(&[0, 1], Scores::Logits(logits), &classes).unwrap();
        let (good, bad) = (of(&[2.0, 0.0, 0.0, 2.0]), of(&[0.0, 2.0, 0.0, 2.0]));
        for name in Metric::selectable() {
            let metric = Metric::find(name).unwrap();
            assert!(metric.score(&good) > metric.score(&bad), "{name}");
        }
        // Two classes have no top-5 accuracy: the accuracy takes its place.
        assert_eq!((accuracy::TOP5.of(&bad, None), accuracy::TOP5.selection_value(&bad)), (None, 0.5));
        assert_eq!(log_loss::LOSS.score(&good), -good.loss);
        assert_eq!((log_loss::LOSS.score_name().as_str(), accuracy::TOP1.score_name().as_str()), ("-loss", "top1"));
    }

    #[test]
    fn values_print_with_label_and_unit() {
        assert_eq!(accuracy::TOP1.format(0.932), "top-1 93.20 %");
        assert_eq!(log_loss::LOSS.format(0.5), "loss 0.5000");
    }
}
