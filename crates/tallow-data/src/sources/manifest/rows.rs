//! Turns the lines of a manifest into rows: the file, the label or labels, and the split of a sample.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::columns::{Columns, LabelColumns};
use super::find_file::{FileFinder, Found};
use super::part::{Part, SplitRule};
use super::table::{Record, Table};
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::names::{SHOWN, listed};
use crate::on_corrupt::OnCorrupt;
use crate::options::OpenOptions;
use crate::sources::paths::Split;

/// The largest deviation of the sum of rounded probabilities from 1.
const SUM_TOLERANCE: f64 = 0.01;

/// A line of a manifest.
pub(super) struct Row {
    pub line: u64,
    /// The image, below the root of the dataset or absolute.
    pub path: PathBuf,
    pub labelling: Labelling,
    pub split: Split,
    pub weight: f32,
    pub group: Option<String>,
    pub time: Option<String>,
}

/// The label or labels of a sample.
#[derive(PartialEq)]
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

/// Reads all lines of a manifest whose images are below `root`. Returns also the classes of columns of 0 and 1, which may
/// be 0 in all lines.
pub(super) fn read_rows(
    part: &Part,
    root: &Path,
    findings: &mut Findings,
    options: &OpenOptions,
) -> Result<(Vec<Row>, Vec<String>)> {
    let table = Table::read(&part.manifest)?;
    let columns = Columns::find(&table, &part.manifest, options, findings)?;
    let reader = RowReader { part, options, names: columns.labels.names().into(), columns: &columns };
    let mut finder = FileFinder::new(root, part.manifest.parent().unwrap_or(Path::new("")));
    let (mut rows, mut missing) = (Vec::with_capacity(table.records.len()), Vec::new());
    let mut missing_count = 0;
    for record in &table.records {
        let (mut row, text) = reader.row(record)?;
        match finder.find(&text) {
            Found::At(path) => row.path = path,
            Found::Missing => {
                missing_count += 1;
                if missing.len() < SHOWN {
                    missing.push(format!("line {}: {text}", record.line));
                }
                continue;
            }
            Found::Several(names) => {
                let found = listed(&names);
                return Err(
                    reader.fail(record.line, format!("{text} has no extension, and there are {found}: name one"))
                );
            }
        }
        row.split = match part.split {
            SplitRule::ByFolder if columns.split.is_none() => folder_split(&row.path).unwrap_or(Split::Train),
            _ => row.split,
        };
        rows.push(row);
    }
    if missing_count > 0 {
        let (path, lines) = (part.manifest.clone(), table.records.len());
        let error = Error::MissingImages { path, count: missing_count, lines, first: missing };
        match options.on_corrupt {
            OnCorrupt::Skip => findings.note(error.to_string()),
            OnCorrupt::Stop => findings.problem(error)?,
        }
    }
    for sentence in finder.sentences() {
        findings.note(format!("{}: {sentence}", part.manifest.display()));
    }
    if columns.split.is_none() && matches!(part.split, SplitRule::Column) {
        note_split_folders(&rows, part, findings);
    }
    let classes = match &columns.labels {
        LabelColumns::OneHot { .. } => columns.labels.names(),
        LabelColumns::One { .. } | LabelColumns::Several { .. } => Vec::new(),
    };
    Ok((rows, classes))
}

/// The split that the first folder of a path is called.
fn folder_split(path: &Path) -> Option<Split> {
    let mut parts = path.components();
    let first = parts.next()?.as_os_str().to_string_lossy();
    parts.next().and_then(|_| Split::by_name(&first))
}

/// Says that images in a folder of another split are training samples.
fn note_split_folders(rows: &[Row], part: &Part, findings: &mut Findings) {
    let other = |row: &&Row| matches!(folder_split(&row.path), Some(Split::Validation | Split::Test));
    let count = rows.iter().filter(other).count();
    if count > 0 {
        findings.note(format!(
            "{}: there is no column split: all {} lines are training samples, also {count} in folders with the name of \
             another split",
            part.manifest.display(),
            rows.len()
        ));
    }
}

struct RowReader<'a> {
    part: &'a Part,
    options: &'a OpenOptions,
    columns: &'a Columns,
    /// The classes that have a column of their own.
    names: Arc<[String]>,
}

impl RowReader<'_> {
    fn fail(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Manifest { path: self.part.manifest.clone(), line, problem: problem.into() }
    }

    /// The row without its path, and the text of the path.
    fn row(&self, record: &Record) -> Result<(Row, String)> {
        let (line, columns) = (record.line, self.columns);
        let text = |column: Option<usize>| column.map_or("", |column| record.text(column));
        let split = text(columns.split);
        let split = match (self.part.split, split.is_empty()) {
            (SplitRule::Fixed(split), _) => split,
            (_, true) => Split::Train,
            (_, false) => Split::by_name(split).ok_or_else(|| {
                let expected = "split must be train, validation (valid, val, dev, eval), test or empty";
                self.fail(line, format!("{expected}, found `{split}`"))
            })?,
        };
        let path = columns.paths.iter().map(|column| record.text(*column)).find(|text| !text.is_empty());
        let labelling = self.labelling(record)?;
        let (Some(path), Some(labelling)) = (path, labelling) else {
            return Err(self.fail(line, "path and label must not be empty"));
        };
        let weight = match text(columns.weight) {
            "" => 1.0,
            text => self.number(line, "weight", text)?,
        };
        let given = |column: Option<usize>, name: &Option<String>| match column.map(|column| record.text(column)) {
            Some("") => Err(self.fail(line, format!("{} must not be empty", name.as_deref().unwrap_or_default()))),
            text => Ok(text.map(String::from)),
        };
        let group = given(columns.group, &self.options.group_column)?;
        let time = given(columns.time, &self.options.time_column)?;
        Ok((Row { line, path: PathBuf::new(), labelling, split, weight, group, time }, path.to_owned()))
    }

    /// The label, the labels or the probabilities of a line, if there are any.
    fn labelling(&self, record: &Record) -> Result<Option<Labelling>> {
        let line = record.line;
        let one = |column: Option<usize>| {
            column.map(|column| record.text(column)).filter(|label| !label.is_empty()).map(String::from)
        };
        match &self.columns.labels {
            LabelColumns::OneHot { classes, single } => {
                let holds = classes.iter().filter(|(column, _)| record.text(*column).parse() == Ok(1.0));
                let mut names: Vec<String> = holds.map(|(_, name)| name.clone()).collect();
                Ok(if *single { names.pop().map(Labelling::One) } else { Some(Labelling::Several(names)) })
            }
            LabelColumns::One { label, shares } => {
                let label = one(*label);
                Ok(match self.soft(record, shares, &label)? {
                    Some(soft) => Some(soft),
                    None => label.map(Labelling::One),
                })
            }
            LabelColumns::Several { labels, separator, one: label, shares } => {
                let label = one(*label);
                if let Some(soft) = self.soft(record, shares, &label)? {
                    return Ok(Some(soft));
                }
                if !record.has(*labels) {
                    return Ok(label.map(Labelling::One));
                }
                let several = match (record.list(*labels), separator) {
                    (Some(list), _) => list.to_vec(),
                    (None, Some(separator)) => {
                        let names = record.text(*labels).split(separator.as_str()).map(str::trim);
                        names.filter(|name| !name.is_empty()).map(String::from).collect()
                    }
                    (None, None) => return Err(self.fail(line, "labels must be an array of class names")),
                };
                Ok(Some(Labelling::Several(several)))
            }
        }
    }

    /// The probabilities of a line, if it has any.
    fn soft(&self, record: &Record, shares: &[(usize, String)], label: &Option<String>) -> Result<Option<Labelling>> {
        let line = record.line;
        if shares.iter().all(|(column, _)| record.text(*column).is_empty()) {
            return Ok(None);
        }
        let number = |column: usize| match record.text(column) {
            "" => Ok(0.0),
            text => self.number(line, "a probability", text),
        };
        let shares = shares.iter().map(|(column, _)| number(*column)).collect::<Result<Vec<f32>>>()?;
        let sum: f64 = shares.iter().map(|share| f64::from(*share)).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(self.fail(line, format!("the probabilities p_… must add up to 1, found {sum}")));
        }
        let shares = shares.iter().map(|share| (f64::from(*share) / sum) as f32).collect();
        Ok(Some(Labelling::Soft { names: self.names.clone(), shares, name: label.clone() }))
    }

    /// Parses a number of 0 or more.
    fn number(&self, line: u64, what: &str, text: &str) -> Result<f32> {
        let number = text.parse::<f32>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.fail(line, format!("{what} must be a number of 0 or more, found `{text}`")))
    }
}

impl LabelColumns {
    /// The classes that have a column of their own.
    fn names(&self) -> Vec<String> {
        let (Self::One { shares: classes, .. } | Self::Several { shares: classes, .. } | Self::OneHot { classes, .. }) =
            self;
        classes.iter().map(|(_, name)| name.clone()).collect()
    }
}
