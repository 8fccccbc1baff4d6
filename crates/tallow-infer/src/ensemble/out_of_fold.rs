//! The out-of-fold predictions of a cross-validation: the table `id,label,predicted,p_<class>…`.

use std::collections::HashMap;
use std::path::Path;

use crate::{Error, Result};

/// The tolerance of a row's sum: the file has six digits per number.
const SUM_TOLERANCE: f32 = 1e-3;

/// Predictions of samples by models that were not trained on them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutOfFoldTable {
    /// The samples.
    pub ids: Vec<String>,
    /// Their classes; for multi-label data, the first class of each.
    pub labels: Vec<usize>,
    /// For multi-label data, 0 or 1 for each class: row-major, `n × classes`. Else empty.
    pub targets: Vec<f32>,
    /// Row-major, `n × classes`, in the order of the given classes.
    pub probabilities: Vec<f32>,
}

impl OutOfFoldTable {
    /// Reads the table; its columns may be in any order. With `several`, the data are multi-label: labels are `a|b`, and the
    /// probabilities of a row need not sum to 1.
    ///
    /// # Errors
    /// A file that is not such a table; other classes than `classes`; a sample twice; rows that are not probabilities.
    pub fn read(path: &Path, classes: &[String], several: bool) -> Result<Self> {
        let broken = |reason: String| Error::Broken { path: path.to_owned(), reason };
        let mut reader = csv::Reader::from_path(path).map_err(|error| broken(error.to_string()))?;
        let header = reader.headers().map_err(|error| broken(error.to_string()))?.clone();
        let column = |name: &str| {
            let missing =
                || broken(format!("there is no column `{name}`; expected id, label and p_<class> for each class"));
            header.iter().position(|h| h == name).ok_or_else(missing)
        };
        let (id, label) = (column("id")?, column("label")?);
        let columns = classes.iter().map(|class| column(&format!("p_{class}"))).collect::<Result<Vec<usize>>>()?;
        if let Some(extra) =
            header.iter().filter_map(|h| h.strip_prefix("p_")).find(|c| !classes.iter().any(|k| k == c))
        {
            return Err(broken(format!("`p_{extra}`: the members have no class {extra}")));
        }
        let mut seen = HashMap::new();
        let mut table = Self::default();
        for (line, record) in (2u64..).zip(reader.records()) {
            let record = record.map_err(|error| broken(error.to_string()))?;
            let at = |problem: String| broken(format!("line {line}: {problem}"));
            if let Some(first) = seen.insert(record[id].to_owned(), line) {
                return Err(at(format!("{} stands in line {first} as well: one row a sample", &record[id])));
            }
            let class = |name: &str| {
                let found = classes.iter().position(|class| class == name);
                found.ok_or_else(|| at(format!("the members have no class {name}")))
            };
            if several {
                let holding = record[label].split('|').filter(|name| !name.is_empty());
                let holding = holding.map(class).collect::<Result<Vec<usize>>>()?;
                table.labels.push(holding.first().copied().unwrap_or_default());
                table.targets.extend((0..classes.len()).map(|class| f32::from(holding.contains(&class))));
            } else {
                table.labels.push(class(&record[label])?);
            }
            table.ids.push(record[id].to_owned());
            let start = table.probabilities.len();
            for &column in &columns {
                let p = record[column].trim().parse::<f32>().ok().filter(|p| (0.0..=1.0).contains(p));
                table.probabilities.push(p.ok_or_else(|| at(format!("`{}` is no probability", &record[column])))?);
            }
            let sum: f32 = table.probabilities[start..].iter().sum();
            if !several && (sum - 1.0).abs() > SUM_TOLERANCE {
                return Err(at(format!("the probabilities sum to {sum}, expected 1")));
            }
        }
        if table.ids.is_empty() {
            return Err(broken("it has no predictions".to_owned()));
        }
        Ok(table)
    }

    /// The same in the order of `ids`.
    ///
    /// # Errors
    /// Other samples, or other labels; `path` and `first` say of which files.
    pub fn ordered_as(&self, other: &Self, path: &Path, first: &Path) -> Result<Self> {
        let broken = |reason: String| Error::Broken { path: path.to_owned(), reason };
        let rows: HashMap<&String, usize> = self.ids.iter().zip(0..).collect();
        let classes = self.probabilities.len() / self.ids.len().max(1);
        let mut ordered = Self { probabilities: Vec::new(), ..other.clone() };
        let targets = |of: &Self, row: usize| of.targets.get(row * classes..(row + 1) * classes).map(<[f32]>::to_vec);
        for (at, (id, label)) in other.ids.iter().zip(&other.labels).enumerate() {
            let Some(&row) = rows.get(id) else {
                return Err(broken(format!(
                    "there is no sample {id}, which {} has: both must be of the same data",
                    first.display()
                )));
            };
            if self.labels[row] != *label || targets(self, row) != targets(other, at) {
                return Err(broken(format!("sample {id} has another label than in {}", first.display())));
            }
            ordered.probabilities.extend_from_slice(&self.probabilities[row * classes..][..classes]);
        }
        match self.ids.len() == other.ids.len() {
            true => Ok(ordered),
            false => {
                let (here, there) = (self.ids.len(), other.ids.len());
                Err(broken(format!("{here} samples, {there} in {}: both must be of the same data", first.display())))
            }
        }
    }
}
