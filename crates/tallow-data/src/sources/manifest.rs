//! A CSV manifest: a line an image with its path, its label and, if wanted, its split.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{ImageFiles, label_of, sorted_classes};
use crate::{Dataset, Error, OpenOptions, Result, Splits};

#[derive(Clone, Copy, PartialEq)]
enum Split {
    Train,
    Validation,
    Test,
}

struct Row {
    line: u64,
    path: PathBuf,
    class: String,
    split: Split,
}

/// Reads the manifest; that its images exist is checked, but none is opened. Paths are relative to its folder.
pub(crate) fn read(manifest: &Path, options: &OpenOptions) -> Result<Splits> {
    let root = manifest.parent().unwrap_or(Path::new("")).to_path_buf();
    let rows = read_rows(manifest, &root)?;
    let of_split = |split| rows.iter().filter(move |row| row.split == split);
    if of_split(Split::Train).next().is_none() {
        return Err(Error::NoImages { path: manifest.into(), expected: "at least one line of the split train" });
    }
    let classes: Arc<[String]> = match &options.classes {
        Some(classes) => classes.clone().into(),
        None => {
            let names = of_split(Split::Train).map(|row| row.class.clone()).collect();
            sorted_classes(names, options.class_order).into()
        }
    };
    let files = |split| -> Result<Vec<(PathBuf, usize)>> {
        of_split(split)
            .map(|row| {
                let place = format!("{}, line {}", manifest.display(), row.line);
                let label = label_of(&row.class, &classes, Path::new(&place))?;
                Ok((row.path.clone(), label))
            })
            .collect()
    };
    let dataset = |files| -> Arc<dyn Dataset> {
        Arc::new(ImageFiles { root: root.clone(), class_names: classes.clone(), files })
    };
    let given = |split| -> Result<Option<Arc<dyn Dataset>>> {
        let files = files(split)?;
        Ok((!files.is_empty()).then(|| dataset(files)))
    };
    Ok(Splits {
        train: dataset(files(Split::Train)?),
        validation: given(Split::Validation)?,
        test: given(Split::Test)?,
        ignored_files: 0,
    })
}

fn read_rows(manifest: &Path, root: &Path) -> Result<Vec<Row>> {
    let fail = |line, problem| Error::Manifest { path: manifest.into(), line, problem };
    let csv_error = |error: csv::Error| {
        let line = error.position().map_or(1, |position| position.line());
        match error.into_kind() {
            csv::ErrorKind::Io(source) => Error::io(manifest)(source),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                fail(line, format!("expected {expected_len} columns as in the first line, found {len}"))
            }
            kind => fail(line, format!("not UTF-8 CSV: {kind:?}")),
        }
    };
    let file = std::fs::File::open(manifest).map_err(Error::io(manifest))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);

    let header = reader.headers().map_err(csv_error)?.clone();
    let column = |name| header.iter().position(|h| h.eq_ignore_ascii_case(name));
    let (Some(path_column), Some(label_column)) = (column("path"), column("label")) else {
        let found = header.iter().collect::<Vec<_>>().join(", ");
        return Err(fail(1, format!("expected the columns path, label and, if wanted, split; found: {found}")));
    };
    let split_column = column("split");

    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let line = record.position().map_or(1, |position| position.line());
        let field = |column: usize| record.get(column).unwrap_or_default();
        let split = match split_column.map(field).unwrap_or_default() {
            "" | "train" => Split::Train,
            "validation" | "valid" | "val" => Split::Validation,
            "test" => Split::Test,
            other => {
                let problem = format!("split must be train, validation (valid, val), test or empty, found `{other}`");
                return Err(fail(line, problem));
            }
        };
        let (path, class) = (field(path_column), field(label_column));
        if path.is_empty() || class.is_empty() {
            return Err(fail(line, "path and label must not be empty".into()));
        }
        let full = root.join(path);
        if !full.is_file() {
            let problem = format!("there is no file {}: paths are relative to the manifest's folder", full.display());
            return Err(fail(line, problem));
        }
        rows.push(Row { line, path: path.into(), class: class.into(), split });
    }
    Ok(rows)
}
