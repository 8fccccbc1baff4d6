//! The confusion matrix: the number of samples of each class by predicted class.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table_name::table_name;
use crate::{Error, Result, check};

/// The maximum length of column headings, in characters; rows show full names, in the same order.
const HEADING: usize = 7;

/// The counts of (label, prediction) pairs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct ConfusionMatrix {
    class_names: Vec<String>,
    counts: Vec<Vec<u64>>,
}

/// The divisor of a normalised matrix; scikit-learn's `normalize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// The number of samples of the row's class: the diagonal is the recall.
    True,
    /// The number of predictions of the column's class: the diagonal is the precision.
    Pred,
    /// The number of samples.
    All,
}

/// A pair of classes that are confused, from [`ConfusionMatrix::most_confused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The class of the samples.
    pub label: usize,
    /// The class predicted for them.
    pub predicted: usize,
    /// The number of samples.
    pub count: u64,
}

/// Counts the (label, prediction) pairs of all classes, including classes that do not occur.
///
/// # Errors
///
/// No samples, no classes, different numbers of labels and predictions, or a class index out of range.
///
/// # Source
///
/// `sklearn.metrics.confusion_matrix` with `labels=range(k)`.
pub fn confusion_matrix(labels: &[usize], predictions: &[usize], class_names: &[String]) -> Result<ConfusionMatrix> {
    let classes = class_names.len();
    check::same_length(labels, predictions)?;
    check::labels("label", labels, classes)?;
    check::labels("prediction", predictions, classes)?;
    let mut counts = vec![vec![0; classes]; classes];
    for (&label, &prediction) in labels.iter().zip(predictions) {
        counts[label][prediction] += 1;
    }
    Ok(ConfusionMatrix { class_names: class_names.to_vec(), counts })
}

impl ConfusionMatrix {
    /// The matrix without classes, in the evaluation of a multi-label dataset.
    pub fn empty() -> Self {
        Self { class_names: Vec::new(), counts: Vec::new() }
    }

    /// Whether the matrix has no classes.
    pub fn is_empty(&self) -> bool {
        self.class_names.is_empty()
    }

    /// The names of the classes, in the order of rows and columns.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The counts, `classes × classes`: a row per label, a column per prediction.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// The number of samples of each class (row sums).
    pub fn support(&self) -> Vec<u64> {
        self.counts.iter().map(|row| row.iter().sum()).collect()
    }

    /// The number of predictions of each class (column sums).
    pub fn predicted(&self) -> Vec<u64> {
        (0..self.counts.len()).map(|class| self.counts.iter().map(|row| row[class]).sum()).collect()
    }

    /// The matrix as fractions. A fraction whose divisor is 0 (a class without samples, or never predicted) is 0, as in
    /// scikit-learn.
    pub fn normalized(&self, by: Normalize) -> Vec<Vec<f64>> {
        let (support, predicted) = (self.support(), self.predicted());
        let all = support.iter().sum();
        let fraction = |row: usize, column: usize, count: u64| {
            let divisor = match by {
                Normalize::True => support[row],
                Normalize::Pred => predicted[column],
                Normalize::All => all,
            };
            if divisor == 0 { 0.0 } else { count as f64 / divisor as f64 }
        };
        let rows = self.counts.iter().enumerate();
        rows.map(|(i, row)| row.iter().enumerate().map(|(j, &count)| fraction(i, j, count)).collect()).collect()
    }

    /// The `limit` most frequent confusions, by descending count; equal counts are in the order of the classes.
    pub fn most_confused(&self, limit: usize) -> Vec<Confusion> {
        let mut mistakes = Vec::new();
        for (label, row) in self.counts.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate() {
                if label != predicted && count > 0 {
                    mistakes.push(Confusion { label, predicted, count });
                }
            }
        }
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
        mistakes.truncate(limit);
        mistakes
    }

    /// The matrix as an aligned table with a row per label and a column per prediction: counts, or fractions with two
    /// decimals. `{matrix}` prints the counts.
    pub fn table(&self, normalize: Option<Normalize>) -> String {
        let cells: Vec<Vec<String>> = match normalize {
            None => self.counts.iter().map(|row| row.iter().map(u64::to_string).collect()).collect(),
            Some(by) => {
                let fractions = self.normalized(by);
                fractions.iter().map(|row| row.iter().map(|x| format!("{x:.2}")).collect()).collect()
            }
        };
        let headings: Vec<String> = self.class_names.iter().map(|name| shorten(name)).collect();
        let corner = "true \\ predicted";
        let names = self.class_names.iter().map(|name| table_name(name)).chain([corner.into()]);
        let first = names.map(|name| name.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = headings
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                let widest = cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
                widest.max(heading.chars().count())
            })
            .collect();

        let line = |name: &str, row: &[String]| {
            let columns: String = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}")).collect();
            format!("{name:>first$}{columns}\n")
        };
        let rows: String =
            self.class_names.iter().zip(&cells).map(|(name, row)| line(&table_name(name), row)).collect();
        line(corner, &headings) + &rows
    }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(None))
    }
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= HEADING {
        return name.to_owned();
    }
    name.chars().take(HEADING - 1).chain(['…']).collect()
}

/// The matrix as serialised, before its shape is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    class_names: Vec<String>,
    counts: Vec<Vec<u64>>,
}

impl TryFrom<Fields> for ConfusionMatrix {
    type Error = Error;

    fn try_from(Fields { class_names, counts }: Fields) -> Result<Self> {
        let (names, rows) = (class_names.len(), counts.len());
        let uneven = counts.iter().position(|row| row.len() != names);
        if let Some(row) = uneven.or((rows != names).then_some(rows)) {
            return Err(Error::NotSquare { names, rows, row, found: counts.get(row).map_or(0, Vec::len) });
        }
        Ok(Self { class_names, counts })
    }
}

impl From<ConfusionMatrix> for Fields {
    fn from(ConfusionMatrix { class_names, counts }: ConfusionMatrix) -> Self {
        Self { class_names, counts }
    }
}
