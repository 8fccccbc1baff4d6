//! The images of Parquet files by row, in bounded memory.
//!
//! If all images fit into [`CACHE_BYTES`], a row group is cached when it is first read. Otherwise a few readers stay
//! open at their positions: the next row of a row group is then read without seeking; any other row costs its page.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image::DynamicImage;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};

use super::table::Table;
use crate::dataset::Dataset;
use crate::decode;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::sources::classes::{Groups, times_of};
use crate::sources::files::stamp_of;

/// The largest size of all images of a split that is cached in memory, in uncompressed bytes.
const CACHE_BYTES: u64 = 256 << 20;
/// The number of readers that stay open. Each holds a page (1 MB by default) and a dictionary.
const CURSORS: usize = 16;

/// A split of rows.
pub(super) struct ParquetImages {
    tables: Vec<Table>,
    stamps: Vec<u64>,
    row_groups: Vec<RowGroup>,
    labels: Vec<u32>,
    class_names: Arc<[String]>,
    groups: Vec<usize>,
    times: Vec<f64>,
    /// The images of each row group that has been read, if all fit into memory.
    cached: Option<Vec<OnceLock<Vec<Option<ByteArray>>>>>,
    cursors: Mutex<Vec<Cursor>>,
}

struct RowGroup {
    table: usize,
    in_table: usize,
    /// The number of rows before it, in all files and in its own file.
    first: usize,
    first_in_table: usize,
    rows: usize,
}

struct Cursor {
    row_group: usize,
    next: usize,
    reader: ColumnReaderImpl<ByteArrayType>,
}

impl ParquetImages {
    /// The rows of `tables` with these labels.
    pub fn new(
        tables: Vec<Table>,
        labels: Vec<u32>,
        class_names: Arc<[String]>,
        options: &OpenOptions,
    ) -> Result<Self> {
        let mut row_groups = Vec::new();
        let mut first = 0;
        let (mut names, mut groups, mut times) = (Groups::default(), Vec::new(), Vec::new());
        for (table, opened) in tables.iter().enumerate() {
            let mut first_in_table = 0;
            for (in_table, rows) in opened.group_lengths().into_iter().enumerate() {
                row_groups.push(RowGroup { table, in_table, first, first_in_table, rows });
                (first, first_in_table) = (first + rows, first_in_table + rows);
            }
            groups.extend(opened.groups()?.unwrap_or_default().iter().map(|name| names.number(name)));
            times.extend(opened.times()?.unwrap_or_default());
        }
        let times = times_of(&times).map_err(|row| {
            let path = tables.first().map_or(Path::new(""), |table| &table.path);
            let column = options.time_column.clone().unwrap_or_default();
            Error::format(path, format!("a time in {column} in every row"), format!("none in row {row}"))
        })?;
        let bytes: u64 = tables.iter().map(Table::image_bytes).sum();
        let cached = (bytes <= CACHE_BYTES).then(|| row_groups.iter().map(|_| OnceLock::new()).collect());
        let stamps = tables.iter().map(|table| stamp_of(&table.path)).collect();
        Ok(Self { tables, stamps, row_groups, labels, class_names, groups, times, cached, cursors: Mutex::default() })
    }

    /// The row group of a row, and the row in it.
    fn place(&self, index: usize) -> (usize, usize) {
        let row_group = self.row_groups.partition_point(|group| group.first <= index) - 1;
        (row_group, index - self.row_groups[row_group].first)
    }

    fn bytes(&self, index: usize) -> Result<ByteArray> {
        let (row_group, row) = self.place(index);
        let found = match &self.cached {
            Some(cached) => {
                let values = match cached[row_group].get() {
                    Some(values) => values,
                    None => {
                        let rows = self.row_groups[row_group].rows;
                        let values = self.take(&mut self.open(row_group)?, rows, index)?;
                        cached[row_group].get_or_init(|| values)
                    }
                };
                values.get(row).cloned().flatten()
            }
            None => self.at(row_group, row, index)?,
        };
        found.ok_or_else(|| self.failed(index, "the row has no image".into()))
    }

    /// Reads a row with an open reader that is before it in the row group, else with a new reader.
    fn at(&self, row_group: usize, row: usize, index: usize) -> Result<Option<ByteArray>> {
        let open = {
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            let usable = |cursor: &Cursor| cursor.row_group == row_group && cursor.next <= row;
            let nearest = (0..cursors.len()).filter(|at| usable(&cursors[*at])).max_by_key(|at| cursors[*at].next);
            nearest.map(|at| cursors.remove(at))
        };
        let mut cursor = match open {
            Some(cursor) => cursor,
            None => self.open(row_group)?,
        };
        let skip = row - cursor.next;
        cursor.reader.skip_records(skip).map_err(|error| self.failed(index, error.to_string()))?;
        let value = self.take(&mut cursor, 1, index)?.pop().flatten();
        cursor.next = row + 1;
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.len() >= CURSORS {
            cursors.remove(0); // the least recently used one
        }
        cursors.push(cursor);
        Ok(value)
    }

    fn open(&self, row_group: usize) -> Result<Cursor> {
        let group = &self.row_groups[row_group];
        let reader = self.tables[group.table].images(group.in_table)?;
        Ok(Cursor { row_group, next: 0, reader })
    }

    /// The next rows of a reader; rows without an image are `None`.
    fn take(&self, cursor: &mut Cursor, rows: usize, index: usize) -> Result<Vec<Option<ByteArray>>> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let read = cursor.reader.read_records(rows, Some(&mut levels), None, &mut values);
        let (read, _, _) = read.map_err(|error| self.failed(index, error.to_string()))?;
        if read < rows {
            return Err(self.failed(index, "the file ends before the row".into()));
        }
        // A column without definition levels has no missing values.
        let present = levels.iter().max().copied().unwrap_or_default();
        if levels.is_empty() || values.len() == rows {
            return Ok(values.into_iter().map(Some).collect());
        }
        let mut values = values.into_iter();
        let next = |level: &i16| if *level == present { values.next() } else { None };
        Ok(levels.iter().map(next).collect())
    }

    fn failed(&self, index: usize, reason: String) -> Error {
        Error::Decode { path: self.id(index).into(), reason }
    }
}

impl Dataset for ParquetImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.groups.get(index).copied()
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.times.get(index).copied()
    }

    fn runs(&self) -> Option<Vec<usize>> {
        Some(self.row_groups.iter().map(|group| group.rows).collect())
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.bytes(index)?.data().to_vec()))
    }

    fn stamp(&self, index: usize) -> u64 {
        self.stamps[self.row_groups[self.place(index).0].table]
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        decode::decode_bytes(self.bytes(index)?.data(), Path::new(&self.id(index)))
    }

    fn id(&self, index: usize) -> String {
        let (row_group, row) = self.place(index);
        let group = &self.row_groups[row_group];
        let name = self.tables[group.table].path.file_name().unwrap_or_default();
        format!("{}:{}", name.to_string_lossy(), group.first_in_table + row)
    }

    /// Always RGB: images are not decoded to find out whether all are grey.
    fn channels(&self) -> usize {
        3
    }
}
