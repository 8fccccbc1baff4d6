//! Which column of a manifest holds what: by the options, else by usual names; else one column per class.

use std::path::Path;

use super::table::Table;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::names::listed;
use crate::options::OpenOptions;
use crate::sources::paths::Split;

/// The prefix of columns of probabilities.
const SHARE: &str = "p_";
/// Usual names, in order of preference, in lower case and without `_`, `-` and spaces.
const PATHS: [&str; 16] = [
    "path",
    "filename",
    "filepath",
    "file",
    "imagepath",
    "imagename",
    "imagefile",
    "imagefilename",
    "image",
    "imageid",
    "imgpath",
    "imgname",
    "imgfilename",
    "img",
    "imgid",
    "id",
];
const LABELS: [&str; 9] =
    ["label", "labelname", "class", "classname", "target", "category", "categoryname", "labelid", "classid"];
const SEVERAL: [&str; 5] = ["labels", "tags", "classes", "categories", "targets"];
const SPLITS: [&str; 4] = ["split", "subset", "partition", "set"];
const WEIGHTS: [&str; 2] = ["weight", "sampleweight"];
/// The separator of labels in a CSV column of several.
const SEPARATOR: &str = "|";

/// The columns that hold labels.
#[derive(Debug)]
pub(super) enum LabelColumns {
    /// One class name, and the probabilities that some lines may have; the column is absent if all have.
    One { label: Option<usize>, shares: Vec<(usize, String)> },
    /// Any number of class names: a list, or in CSV a text with a separator. Lines without a value have one label, in the
    /// other column, or probabilities.
    Several { labels: usize, separator: Option<String>, one: Option<usize>, shares: Vec<(usize, String)> },
    /// A 0 or 1 for each class; `single` if each line has one 1.
    OneHot { classes: Vec<(usize, String)>, single: bool },
}

/// The columns of a manifest.
#[derive(Debug)]
pub(super) struct Columns {
    /// The columns of paths: the first that is not empty counts.
    pub paths: Vec<usize>,
    pub labels: LabelColumns,
    pub split: Option<usize>,
    pub weight: Option<usize>,
    pub group: Option<usize>,
    pub time: Option<usize>,
}

impl Columns {
    /// Finds the columns.
    ///
    /// # Errors
    /// A column that an option names is absent; there is no column of paths or of labels.
    pub fn find(table: &Table, manifest: &Path, options: &OpenOptions, findings: &mut Findings) -> Result<Self> {
        let fail = |problem: String| Error::Manifest { path: manifest.into(), line: 1, problem };
        let header = || listed(&table.header);
        let named = |key: &str, name: &Option<String>| match name {
            Some(name) => table
                .column(name)
                .map(Some)
                .ok_or_else(|| fail(format!("expected the column {name}, named by {key}; found: {}", header()))),
            None => Ok(None),
        };
        let paths = match named("image_column", &options.image_column)? {
            Some(column) => vec![column],
            None => usual(table, &PATHS),
        };
        let split = named("split_column", &options.split_column)?.or_else(|| usual_split(table));
        let weight =
            named("weight_column", &options.weight_column)?.or_else(|| usual(table, &WEIGHTS).first().copied());
        let group = named("group_column", &options.group_column)?;
        let time = named("time_column", &options.time_column)?;
        let label = named("label_column", &options.label_column)?;
        let other = [&paths[..], &[split, weight, group, time].into_iter().flatten().collect::<Vec<_>>()].concat();
        let labels = label_columns(table, label, options, &other);
        let (Some(labels), false) = (labels, paths.is_empty()) else {
            let expected = "expected the columns path, label (or labels, or p_<class>, or a column of 0 and 1 for each \
                            class; filename, image, class, target … are known too), or their names in image_column and \
                            label_column";
            return Err(fail(format!("{expected}; found: {}", header())));
        };
        let columns = Self { paths, labels, split, weight, group, time };
        columns.note_choices(table, manifest, options, findings);
        Ok(columns)
    }

    /// Says which columns were taken where the names leave a choice.
    fn note_choices(&self, table: &Table, manifest: &Path, options: &OpenOptions, findings: &mut Findings) {
        let name = |column: usize| table.header[column].as_str();
        let place = manifest.display();
        match &self.labels {
            LabelColumns::One { label: Some(label), .. } if options.label_column.is_none() => {
                let others: Vec<&str> = usual(table, &LABELS).into_iter().filter(|at| at != label).map(name).collect();
                if !others.is_empty() {
                    let (taken, others) = (name(*label), listed(&others));
                    findings.note(format!("{place}: labels are in the column {taken}; not taken: {others}"));
                }
            }
            LabelColumns::Several { labels, separator: Some(separator), .. } => {
                let taken = name(*labels);
                findings.note(format!("{place}: labels in the column {taken} are separated by `{separator}`"));
                let holds =
                    |text: &str| table.records.iter().filter(|record| record.text(*labels).contains(text)).count();
                let other =
                    [";", ",", " "].into_iter().max_by_key(|other| holds(other)).filter(|other| holds(other) > 0);
                if let Some(other) = other.filter(|_| holds(separator) == 0 && options.label_separator.is_none()) {
                    let count = holds(other);
                    findings.note(format!(
                        "{place}: no labels in {taken} are separated, but {count} contain `{other}`: set label_separator"
                    ));
                }
            }
            LabelColumns::OneHot { classes, single } => {
                let names: Vec<&str> = classes.iter().map(|(_, name)| name.as_str()).collect();
                let kind = if *single { "one class for each image" } else { "several classes for an image" };
                findings.note(format!("{place}: labels are in columns of 0 and 1, {kind}: {}", listed(&names)));
            }
            LabelColumns::One { .. } | LabelColumns::Several { .. } => {}
        }
    }
}

fn label_columns(table: &Table, named: Option<usize>, options: &OpenOptions, other: &[usize]) -> Option<LabelColumns> {
    let shares: Vec<(usize, String)> = (table.header.iter().enumerate())
        .filter_map(|(column, name)| Some((column, name.strip_prefix(SHARE)?.to_owned())))
        .collect();
    let one = named.or_else(|| usual(table, &LABELS).first().copied());
    // In CSV a column of several labels needs a separator; in JSON it is a list.
    let separator = options.label_separator.clone().or_else(|| table.is_csv.then(|| SEPARATOR.to_owned()));
    let several = match named {
        Some(column) => {
            let is_list = table.records.iter().any(|record| record.list(column).is_some());
            let is_several =
                options.label_separator.is_some() || is_list || SEVERAL[0].eq_ignore_ascii_case(&table.header[column]);
            is_several.then_some(column)
        }
        None => table.column(SEVERAL[0]).or_else(|| usual(table, &SEVERAL).first().copied().filter(|_| one.is_none())),
    };
    if let Some(labels) = several {
        let one = one.filter(|one| *one != labels);
        return Some(LabelColumns::Several { labels, separator, one, shares });
    }
    if one.is_some() || !shares.is_empty() {
        return Some(LabelColumns::One { label: one, shares });
    }
    one_hot(table, other)
}

/// The columns, at least two, that hold nothing but 0 and 1.
fn one_hot(table: &Table, other: &[usize]) -> Option<LabelColumns> {
    let bit = |text: &str| text.parse::<f64>().ok().filter(|value| *value == 0.0 || *value == 1.0);
    let is_one_hot = |column: &usize| table.records.iter().all(|record| bit(record.text(*column)).is_some());
    let columns = (0..table.header.len()).filter(|column| !other.contains(column));
    let classes: Vec<(usize, String)> =
        columns.filter(is_one_hot).map(|column| (column, table.header[column].clone())).collect();
    let holds = |column: usize, line: usize| bit(table.records[line].text(column)) == Some(1.0);
    let count = |line: usize| classes.iter().filter(|(column, _)| holds(*column, line)).count();
    let single = (0..table.records.len()).all(|line| count(line) == 1);
    (classes.len() > 1 && !table.records.is_empty()).then_some(LabelColumns::OneHot { classes, single })
}

/// The columns with a usual name, in the order of the names.
fn usual(table: &Table, names: &[&str]) -> Vec<usize> {
    let plain = |name: &String| -> String {
        name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
    };
    let header: Vec<String> = table.header.iter().map(plain).collect();
    names.iter().filter_map(|name| header.iter().position(|column| column == name)).collect()
}

/// The column `split`, or one of another usual name that holds nothing but names of splits.
fn usual_split(table: &Table) -> Option<usize> {
    let holds_splits = |column: &usize| {
        let texts = || table.records.iter().map(|record| record.text(*column)).filter(|text| !text.is_empty());
        texts().next().is_some() && texts().all(|text| Split::by_name(text).is_some())
    };
    table.column(SPLITS[0]).or_else(|| usual(table, &SPLITS).into_iter().find(holds_splits))
}
