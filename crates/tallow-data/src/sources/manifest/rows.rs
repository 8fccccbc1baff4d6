//! Reads the lines of a manifest, CSV or JSON Lines, into rows.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::sources::paths::{Split, has_extension};

/// The prefix of columns of probabilities.
const SHARE: &str = "p_";
/// The largest deviation of the sum of rounded probabilities from 1.
const SUM_TOLERANCE: f64 = 0.01;

/// A line of the manifest.
pub(super) struct Row {
    pub line: u64,
    pub path: PathBuf,
    pub labelling: Labelling,
    pub split: Split,
    pub weight: f32,
    pub group: Option<String>,
    pub time: Option<String>,
}

/// The label or labels of a sample.
pub(super) enum Labelling {
    /// One class.
    One(String),
    /// Any number of classes.
    Several(Vec<String>),
    /// A probability for each class, and the class if it is given too.
    Soft { names: Arc<[String]>, shares: Vec<f32>, name: Option<String> },
}

impl Labelling {
    /// The class names that occur.
    pub fn classes(&self) -> &[String] {
        match self {
            Labelling::One(name) => std::slice::from_ref(name),
            Labelling::Several(names) => names,
            Labelling::Soft { names, .. } => names,
        }
    }
}

/// A line's fields by name, in either format.
struct Fields<'a> {
    line: u64,
    /// The text of a field; empty if the field is missing.
    text: &'a dyn Fn(&str) -> String,
    /// The names in the field `labels`, if present.
    labels: Option<Vec<String>>,
    /// The classes that have a column of probabilities.
    shares: Arc<[String]>,
}

/// Reads all lines.
pub(super) fn read_rows(manifest: &Path, root: &Path, options: &OpenOptions) -> Result<Vec<Row>> {
    let context = Context { manifest, root, options };
    if has_extension(manifest, &["csv"]) { context.csv() } else { context.json_lines() }
}

struct Context<'a> {
    manifest: &'a Path,
    root: &'a Path,
    options: &'a OpenOptions,
}

impl Context<'_> {
    fn fail(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Manifest { path: self.manifest.into(), line, problem: problem.into() }
    }

    fn csv_error(&self, error: csv::Error) -> Error {
        let line = error.position().map_or(1, |position| position.line());
        match error.into_kind() {
            csv::ErrorKind::Io(source) => Error::io(self.manifest)(source),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                self.fail(line, format!("expected {expected_len} columns as in the first line, found {len}"))
            }
            kind => self.fail(line, format!("not UTF-8 CSV: {kind:?}")),
        }
    }

    fn csv(&self) -> Result<Vec<Row>> {
        let file = File::open(self.manifest).map_err(Error::io(self.manifest))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let header = reader.headers().map_err(|error| self.csv_error(error))?.clone();
        let column = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
        let shares: Arc<[String]> =
            header.iter().filter_map(|name| name.strip_prefix(SHARE)).map(String::from).collect();
        let has_path = column("path").or(column("file_name")).is_some();
        let has_label = column("label").or(column("labels")).is_some() || !shares.is_empty();
        let found = || header.iter().collect::<Vec<_>>().join(", ");
        if !has_path || !has_label {
            let expected = "expected the columns path, label (or labels, or p_<class>) and, if wanted, split, weight";
            return Err(self.fail(1, format!("{expected}; found: {}", found())));
        }
        for (key, name) in [("group_column", &self.options.group_column), ("time_column", &self.options.time_column)] {
            if let Some(name) = name.as_deref().filter(|name| column(name).is_none()) {
                return Err(self.fail(1, format!("expected the column {name}, named by {key}; found: {}", found())));
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| self.csv_error(error))?;
            let line = record.position().map_or(1, |position| position.line());
            let text = |name: &str| column(name).and_then(|at| record.get(at)).unwrap_or_default().to_owned();
            let labels = column("labels").map(|_| {
                let names = text("labels");
                names.split('|').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
            });
            rows.push(self.row(&Fields { line, text: &text, labels, shares: shares.clone() })?);
        }
        Ok(rows)
    }

    fn json_lines(&self) -> Result<Vec<Row>> {
        let file = File::open(self.manifest).map_err(Error::io(self.manifest))?;
        let mut rows = Vec::new();
        let mut shares: Arc<[String]> = Arc::new([]);
        for (at, text) in BufReader::new(file).lines().enumerate() {
            let line = at as u64 + 1;
            let text = text.map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData => self.fail(line, "not UTF-8"),
                _ => Error::io(self.manifest)(error),
            })?;
            if text.trim().is_empty() {
                continue;
            }
            let fields: Map<String, Value> = serde_json::from_str(&text)
                .map_err(|error| self.fail(line, format!("expected a JSON object: {error}")))?;
            let plain = |value: &Value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let text = |name: &str| fields.get(name).map(plain).unwrap_or_default();
            let labels = match fields.get("labels") {
                Some(Value::Array(names)) => Some(names.iter().map(plain).collect()),
                Some(Value::Null) | None => None,
                Some(_) => return Err(self.fail(line, "labels must be an array of class names")),
            };
            let own = || fields.keys().filter_map(|name| name.strip_prefix(SHARE));
            if !own().eq(shares.iter().map(String::as_str)) {
                shares = own().map(String::from).collect();
            }
            rows.push(self.row(&Fields { line, text: &text, labels, shares: shares.clone() })?);
        }
        Ok(rows)
    }

    fn row(&self, fields: &Fields<'_>) -> Result<Row> {
        let line = fields.line;
        let text = |name: &str| (fields.text)(name);
        let split = text("split");
        let split = match split.is_empty() {
            true => Split::Train,
            false => Split::by_name(&split).ok_or_else(|| {
                let expected = "split must be train, validation (valid, val), test or empty";
                self.fail(line, format!("{expected}, found `{split}`"))
            })?,
        };
        let path = match text("path") {
            empty if empty.is_empty() => text("file_name"),
            path => path,
        };
        let labelling = self.labelling(fields)?;
        if path.is_empty() || labelling.is_none() {
            return Err(self.fail(line, "path and label must not be empty"));
        }
        let full = self.root.join(&path);
        if !full.is_file() {
            let problem = format!("there is no file {}: paths are relative to the manifest's folder", full.display());
            return Err(self.fail(line, problem));
        }
        let weight = match text("weight") {
            empty if empty.is_empty() => 1.0,
            text => self.number(line, "weight", &text)?,
        };
        let column = |name: &Option<String>| -> Result<Option<String>> {
            match name.as_deref().map(|name| (name, text(name))) {
                Some((name, empty)) if empty.is_empty() => Err(self.fail(line, format!("{name} must not be empty"))),
                other => Ok(other.map(|(_, text)| text)),
            }
        };
        let (group, time) = (column(&self.options.group_column)?, column(&self.options.time_column)?);
        let Some(labelling) = labelling else { return Err(self.fail(line, "label must not be empty")) };
        Ok(Row { line, path: path.into(), labelling, split, weight, group, time })
    }

    /// The label, the labels or the probabilities of a line, if there are any.
    fn labelling(&self, fields: &Fields<'_>) -> Result<Option<Labelling>> {
        let line = fields.line;
        let label = Some((fields.text)("label")).filter(|label| !label.is_empty());
        let shares: Vec<String> = fields.shares.iter().map(|name| (fields.text)(&format!("{SHARE}{name}"))).collect();
        if !shares.iter().all(String::is_empty) {
            let number = |text: &String| match text.is_empty() {
                true => Ok(0.0),
                false => self.number(line, "a probability", text),
            };
            let shares = shares.iter().map(number).collect::<Result<Vec<f32>>>()?;
            let sum: f64 = shares.iter().map(|share| f64::from(*share)).sum();
            if (sum - 1.0).abs() > SUM_TOLERANCE {
                return Err(self.fail(line, format!("the probabilities p_… must add up to 1, found {sum}")));
            }
            let shares = shares.iter().map(|share| (f64::from(*share) / sum) as f32).collect();
            return Ok(Some(Labelling::Soft { names: fields.shares.clone(), shares, name: label }));
        }
        match (&fields.labels, label) {
            (Some(labels), _) => Ok(Some(Labelling::Several(labels.clone()))),
            (None, label) => Ok(label.map(Labelling::One)),
        }
    }

    /// Parses a number of 0 or more.
    fn number(&self, line: u64, what: &str, text: &str) -> Result<f32> {
        let number = text.parse::<f32>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.fail(line, format!("{what} must be a number of 0 or more, found `{text}`")))
    }
}
