//! Out-of-sample probabilities with the labels to check, and the CSV file they are read from.

use std::collections::HashMap;
use std::path::Path;

use crate::{Error, Result, Samples};

/// The tolerance of a row's sum: files have six digits.
const SUM_TOLERANCE: f64 = 1e-3;

/// Class probabilities of labelled samples, from a model that was not trained on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Probabilities {
    classes: usize,
    labels: Vec<usize>,
    values: Vec<f64>,
}

impl Probabilities {
    /// Creates probabilities from labels below `classes` and from `values`, row-major `labels.len() × classes`; values
    /// are in 0 to 1 and rows sum to 1.
    ///
    /// # Errors
    /// A length, a label or a row is invalid.
    pub fn new(classes: usize, labels: Vec<usize>, values: Vec<f64>) -> Result<Self> {
        let fail = |what, expected: String, found: String| Err(Error::Shape { what, expected, found });
        if classes < 2 {
            return fail("number of classes", "at least 2".into(), classes.to_string());
        }
        if values.len() != labels.len() * classes {
            let expected = format!("{} for {} labels of {classes} classes", labels.len() * classes, labels.len());
            return fail("number of probabilities", expected, values.len().to_string());
        }
        if let Some(label) = labels.iter().find(|label| **label >= classes) {
            return fail("label", format!("below {classes}"), label.to_string());
        }
        for (index, row) in values.chunks_exact(classes).enumerate() {
            if let Some(problem) = problem_of(row) {
                return fail(
                    "probabilities",
                    "values from 0 to 1 in rows that sum to 1".into(),
                    format!("row {index}: {problem}"),
                );
            }
        }
        Ok(Self { classes, labels, values })
    }

    /// Reads probabilities from a CSV file with the columns `id,label,p_<class>,…`, as in a run's `predictions.csv`.
    /// Columns may be in any order; others are ignored. The file may cover a part of the samples: the second result
    /// holds the index of the sample of each row.
    ///
    /// # Errors
    /// The file is no such table, names an id, class or label that the dataset does not have, or has rows that are no
    /// probabilities.
    pub fn read(path: &Path, samples: &Samples) -> Result<(Self, Vec<usize>)> {
        let fail = |line: u64, problem: String| Error::Predictions { path: path.into(), line, problem };
        let file = std::fs::File::open(path).map_err(Error::io(path, "read"))?;
        let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
        let header = reader.headers().map_err(|error| fail(1, error.to_string()))?.clone();
        let column = |name: &str| {
            let missing = || {
                let found = header.iter().take(8).collect::<Vec<_>>().join(", ");
                fail(
                    1,
                    format!(
                        "column `{name}` is missing; expected id, label and p_<class> for every class, found {found}, …"
                    ),
                )
            };
            header.iter().position(|h| h == name).ok_or_else(missing)
        };
        let (id_column, label_column) = (column("id")?, column("label")?);
        let classes = samples.class_names();
        let columns = classes.iter().map(|class| column(&format!("p_{class}"))).collect::<Result<Vec<usize>>>()?;
        if let Some(extra) =
            header.iter().find(|h| h.strip_prefix("p_").is_some_and(|c| !classes.iter().any(|k| k == c)))
        {
            return Err(fail(1, format!("column `{extra}`: the dataset has no such class")));
        }

        let by_id = samples.by_id();
        let mut seen = HashMap::new();
        let (mut rows, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for record in reader.records() {
            let record =
                record.map_err(|error| fail(error.position().map_or(1, csv::Position::line), error.to_string()))?;
            let line = record.position().map_or(1, csv::Position::line);
            let (id, label) = (&record[id_column], &record[label_column]);
            let Some(&sample) = by_id.get(id) else {
                return Err(fail(
                    line,
                    format!("the dataset has no sample `{id}`; are these predictions for another dataset?"),
                ));
            };
            if let Some(first) = seen.insert(sample, line) {
                return Err(fail(line, format!("sample `{id}` is also in line {first}; expected one row per sample")));
            }
            if label != samples.class(sample) {
                let problem = format!(
                    "the label of `{id}` is {label} here and {} in the dataset; expected predictions for the labels of this dataset",
                    samples.class(sample)
                );
                return Err(fail(line, problem));
            }
            let start = values.len();
            for &column in &columns {
                let text = &record[column];
                let value = text.trim().parse::<f64>();
                values.push(value.map_err(|_| {
                    fail(line, format!("column `{}`: expected a number, found `{text}`", &header[column]))
                })?);
            }
            if let Some(problem) = problem_of(&values[start..]) {
                return Err(fail(line, format!("invalid probabilities: {problem}")));
            }
            rows.push(sample);
            labels.push(samples.label(sample));
        }
        if rows.is_empty() {
            return Err(fail(2, "the file has no predictions".into()));
        }
        Ok((Self::new(classes.len(), labels, values)?, rows))
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The given labels.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The class probabilities of each sample.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.classes)
    }

    /// The class probabilities of row `index`.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.classes..][..self.classes]
    }

    /// The number of samples whose label is the most probable class.
    pub fn correct(&self) -> usize {
        self.rows().zip(&self.labels).filter(|(row, label)| argmax(row) == **label).count()
    }

    /// The number of samples of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|label| counts[*label] += 1);
        counts
    }
}

/// The index of the highest value; the lowest index of equal values.
pub(crate) fn argmax(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (class, value)| if *value > row[best] { class } else { best })
}

fn problem_of(row: &[f64]) -> Option<String> {
    if let Some(value) = row.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        return Some(format!("{value} is not from 0 to 1"));
    }
    let sum: f64 = row.iter().sum();
    ((sum - 1.0).abs() > SUM_TOLERANCE).then(|| format!("they sum to {sum:.4}; are these logits?"))
}
