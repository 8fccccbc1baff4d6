//! Parquet files of images as the Hub stores them: `image: struct<bytes, path>` beside a class label.
//!
//! Images are read on demand, a page at a time.
//!
//! # Source
//! The format of the `datasets` library: the file's metadata contain, under `huggingface`, the type of each column and
//! the class names.

mod images;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::images::ParquetImages;
use self::table::{Labels, Table};
use super::classes::{Classes, numbered};
use super::paths::Split;
use crate::complete::check_complete;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::options::OpenOptions;
use crate::splits::Splits;

/// Opens the files. A file belongs to the split that its name below `root` tells, else to training.
pub(crate) fn read(files: &[PathBuf], root: &Path, options: &OpenOptions) -> Result<Splits> {
    let mut findings = Findings::new(options);
    check_complete(files, options, &mut findings)?;
    let mut tables = Vec::new();
    for path in files {
        tables.push((Split::of(path, root), Table::open(path, options)?));
    }
    // A dataset with a single split is trained on, whatever the split's name.
    let train = if tables.iter().any(|(split, _)| matches!(split, None | Some(Split::Train))) {
        vec![None, Some(Split::Train)]
    } else {
        vec![tables.first().and_then(|(split, _)| *split)]
    };
    let (train, rest): (Vec<_>, Vec<_>) = tables.into_iter().partition(|(split, _)| train.contains(split));
    let (validation, test): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|(split, _)| *split == Some(Split::Validation));
    let tables = |part: Vec<(Option<Split>, Table)>| part.into_iter().map(|(_, table)| table).collect::<Vec<_>>();
    let (train, validation, test) = (tables(train), tables(validation), tables(test));

    let labels = read_labels(&train)?;
    let names = train.first().and_then(|table| table.class_names.clone());
    let own = match (names, &labels) {
        (Some(names), _) => Classes::given(names),
        (None, Labels::Numbers(labels)) => Classes::given(numbered(labels.iter().copied().max())),
        (None, Labels::Names(labels)) => Classes::sorted(labels.clone(), options.class_order),
    };
    let classes = own.in_use(options.classes.as_deref());
    let split = |tables: Vec<Table>, labels: Labels| -> Result<Arc<dyn Dataset>> {
        let path = tables.first().map_or(root.to_path_buf(), |table| table.path.clone());
        let labels = match &labels {
            Labels::Numbers(labels) => classes.of_numbers(labels, &own, &path)?,
            Labels::Names(labels) => classes.of_names(labels, &path)?,
        };
        Ok(Arc::new(ParquetImages::new(tables, labels, classes.names.clone(), options)?))
    };
    let mut given = |tables: Vec<Table>| -> Result<Option<Arc<dyn Dataset>>> {
        let labels = read_labels(&tables)?;
        // On the Hub, a test split without published labels has the label -1 everywhere.
        let unlabelled = matches!(&labels, Labels::Numbers(labels) if labels.iter().all(|label| *label < 0));
        if unlabelled && !labels.is_empty() {
            findings.note(format!("not taken: {} rows whose label is negative, which stands for none", labels.len()));
        }
        if unlabelled { Ok(None) } else { split(tables, labels).map(Some) }
    };
    let (validation, test) = (given(validation)?, given(test)?);
    if labels.is_empty() {
        let path = files.first().map_or(root, PathBuf::as_path);
        return Err(Error::NoImages { path: path.into(), expected: "rows in a .parquet file" });
    }
    Ok(findings.into_splits(Splits { validation, test, ..Splits::of(split(train, labels)?) }))
}

/// The labels of all files of a split.
fn read_labels(tables: &[Table]) -> Result<Labels> {
    let mut all = Labels::Numbers(Vec::new());
    for table in tables {
        match (&mut all, table.labels()?) {
            (Labels::Numbers(all), Labels::Numbers(more)) => all.extend(more),
            (Labels::Names(all), Labels::Names(more)) => all.extend(more),
            (all, more) if all.is_empty() => *all = more,
            _ => return Err(Error::format(&table.path, "labels of one type in all files", "numbers and texts")),
        }
    }
    Ok(all)
}
