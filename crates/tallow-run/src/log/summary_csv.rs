//! `summary.csv`: one row per epoch, for a spreadsheet, pandas, or a plot.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Error, Result};

/// Appends rows `epoch,value,…`. Each row is written as a whole before [`append`](Self::append) returns: a killed process does
/// not lose it.
///
/// # Source
///
/// `summary.csv` as timm's `update_summary` writes it: a header, then one row per epoch.
#[derive(Debug)]
pub struct SummaryCsv {
    path: PathBuf,
    file: File,
    columns: usize,
    rows: Vec<Row>,
}

/// A row of a summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The epoch.
    pub epoch: u64,
    /// One value per column; NaN where nothing was measured.
    pub values: Vec<f64>,
}

impl SummaryCsv {
    /// Starts a new summary whose header is `epoch` and `columns`; one that exists is replaced.
    ///
    /// # Errors
    ///
    /// A column's name has a comma, a quote or a line break; the file cannot be written.
    pub fn create(path: &Path, columns: &[&str]) -> Result<Self> {
        Self::start(path, columns, &[])
    }

    /// Continues a summary from `epoch` on: rows of that epoch and later ones are dropped, because training writes them again.
    /// The file is rewritten atomically, so that no crash loses the kept rows. An incomplete last line is dropped; a file that
    /// does not exist is created.
    ///
    /// # Errors
    ///
    /// The errors of [`create`](Self::create); the file has other columns, or a row that is broken.
    pub fn resume(path: &Path, columns: &[&str], epoch: u64) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(Error::Read { path: path.to_owned(), source });
            }
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = complete.lines();
        let expected = header(columns)?;
        if let Some(found) = lines.next().filter(|found| *found != expected) {
            return Err(Error::Header { path: path.to_owned(), expected, found: found.to_owned() });
        }
        let (mut kept, mut rows) = (Vec::new(), Vec::new());
        for (number, line) in (2..).zip(lines) {
            match parse(line, columns.len()) {
                Some(row) if row.epoch < epoch => {
                    kept.push(line);
                    rows.push(row);
                }
                Some(_) => {}
                None => {
                    let (path, found) = (path.to_owned(), line.to_owned());
                    return Err(Error::Row { path, line: number, values: columns.len(), found });
                }
            }
        }
        Ok(Self { rows, ..Self::start(path, columns, &kept)? })
    }

    /// Appends the row of an epoch: one value per column, in the order of the columns. NaN stands for "not measured"
    /// and leaves the cell empty.
    ///
    /// # Errors
    ///
    /// Not as many values as columns; the file cannot be written.
    pub fn append(&mut self, epoch: u64, values: &[f64]) -> Result<()> {
        if values.len() != self.columns {
            return Err(Error::Values { path: self.path.clone(), expected: self.columns, found: values.len() });
        }
        let cell = |&value: &f64| {
            if value.is_nan() { ",".to_owned() } else { format!(",{value}") }
        };
        let row = format!("{epoch}{}\n", values.iter().map(cell).collect::<String>());
        // One write per row: a reader, or a crash, meets whole rows.
        self.file.write_all(row.as_bytes()).map_err(|source| Error::Write { path: self.path.clone(), source })?;
        self.rows.push(Row { epoch, values: values.to_vec() });
        Ok(())
    }

    /// The rows of the file, those before a resume included.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows, by value.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// The file being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file at `path` by the header and `rows`, and opens it to append.
    fn start(path: &Path, columns: &[&str], rows: &[&str]) -> Result<Self> {
        let mut text = header(columns)? + "\n";
        for row in rows {
            text.extend([row, "\n"]);
        }
        tallow_base::write_atomically(path, &text).map_err(|source| Error::Write { path: path.to_owned(), source })?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|source| Error::Open { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, columns: columns.len(), rows: Vec::new() })
    }
}

fn header(columns: &[&str]) -> Result<String> {
    match columns.iter().find(|name| name.contains([',', '"', '\n', '\r'])) {
        Some(name) => Err(Error::ColumnName { name: (*name).to_owned() }),
        None => Ok(["epoch"].iter().chain(columns).copied().collect::<Vec<_>>().join(",")),
    }
}

/// A row of an epoch and `columns` numbers or empty cells.
fn parse(row: &str, columns: usize) -> Option<Row> {
    let mut cells = row.split(',');
    let epoch = cells.next()?.parse().ok()?;
    let number = |cell: &str| if cell.is_empty() { Some(f64::NAN) } else { cell.parse().ok() };
    let values = cells.map(number).collect::<Option<Vec<f64>>>()?;
    (values.len() == columns).then_some(Row { epoch, values })
}
