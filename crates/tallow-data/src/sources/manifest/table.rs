//! The lines of a manifest as a table: CSV with commas, semicolons or tabs, or JSON Lines.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::sources::paths::has_extension;
use crate::sources::text;

/// The content of a manifest.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The names of the columns: the first line of a CSV file, or all keys of a JSON Lines file in the order in which
    /// they occur.
    pub header: Vec<String>,
    pub records: Vec<Record>,
    /// Whether the file is CSV, in which a cell is one text.
    pub is_csv: bool,
}

/// A line.
#[derive(Debug)]
pub(super) struct Record {
    /// The number of the line in the file, from 1.
    pub line: u64,
    /// The cells of the header's first columns.
    cells: Vec<Cell>,
}

/// A value of a line.
#[derive(Debug, Clone)]
enum Cell {
    /// The key is not in the line, or null.
    Absent,
    Text(String),
    List(Vec<String>),
}

impl Record {
    /// The text in a column; empty if there is none.
    pub fn text(&self, column: usize) -> &str {
        match self.cells.get(column) {
            Some(Cell::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether the line has a value in the column, which may be empty in CSV.
    pub fn has(&self, column: usize) -> bool {
        !matches!(self.cells.get(column), None | Some(Cell::Absent))
    }

    /// The list in a column, if there is one.
    pub fn list(&self, column: usize) -> Option<&[String]> {
        match self.cells.get(column) {
            Some(Cell::List(list)) => Some(list),
            _ => None,
        }
    }
}

impl Table {
    /// Reads a manifest.
    pub fn read(manifest: &Path) -> Result<Self> {
        let content = text::read(manifest)?;
        if has_extension(manifest, &["csv", "tsv"]) { csv(&content, manifest) } else { json_lines(&content, manifest) }
    }

    /// The column of this name, in upper or lower case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column.eq_ignore_ascii_case(name))
    }
}

fn fail(manifest: &Path, line: u64, problem: impl Into<String>) -> Error {
    Error::Manifest { path: manifest.into(), line, problem: problem.into() }
}

/// The delimiter that occurs most often in the first line, outside quotes: a comma, a semicolon or a tab.
fn delimiter(content: &str) -> u8 {
    let first = content.lines().next().unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in first.bytes() {
        quoted ^= byte == b'"';
        counts.iter_mut().filter(|(delimiter, _)| !quoted && *delimiter == byte).for_each(|(_, count)| *count += 1);
    }
    // The first of the most frequent.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

fn csv(content: &str, manifest: &Path) -> Result<Table> {
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, |position| position.line());
        match error.into_kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                fail(manifest, line, format!("expected {expected_len} columns as in the first line, found {len}"))
            }
            kind => fail(manifest, line, format!("not CSV: {kind:?}")),
        }
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(delimiter(content)).from_reader(content.as_bytes());
    let header = reader.headers().map_err(failed)?.iter().map(String::from).collect();
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(1, |position| position.line());
        records.push(Record { line, cells: record.iter().map(|text| Cell::Text(text.to_owned())).collect() });
    }
    Ok(Table { header, records, is_csv: true })
}

fn json_lines(content: &str, manifest: &Path) -> Result<Table> {
    let mut table = Table::default();
    let plain = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    for (at, text) in content.lines().enumerate() {
        let line = at as u64 + 1;
        if text.trim().is_empty() {
            continue;
        }
        let fields: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| fail(manifest, line, format!("expected a JSON object: {error}")))?;
        let mut cells = vec![Cell::Absent; table.header.len()];
        for (name, value) in fields {
            let column = table.header.iter().position(|other| *other == name).unwrap_or_else(|| {
                table.header.push(name);
                cells.push(Cell::Absent);
                table.header.len() - 1
            });
            cells[column] = match value {
                Value::Null => Cell::Absent,
                Value::Array(list) => Cell::List(list.into_iter().map(plain).collect()),
                value => Cell::Text(plain(value)),
            };
        }
        table.records.push(Record { line, cells });
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_delimiter() {
        for (line, expected) in [
            ("path,label", b','),
            ("path;label", b';'),
            ("path\tlabel", b'\t'),
            ("path;\"a,b,c\";label", b';'),
            ("path", b','),
            ("", b','),
        ] {
            assert_eq!(delimiter(line), expected, "{line}");
        }
    }
}
