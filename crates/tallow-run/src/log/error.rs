//! The errors of the logs.

use std::{io, path::PathBuf};

/// A `Result` with the logs' [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A log that could not be written, or continued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log file could not be opened or created.
    #[error("{}: cannot open this log: {source}; check that the folder exists and may be written to", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A log file could not be written.
    #[error("{}: cannot write this log: {source}; is the disk full?", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A log file could not be read to continue it.
    #[error("{}: cannot read this log to continue it: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An image for TensorBoard could not be encoded.
    #[error("image {tag:?} ({width}×{height}) cannot be encoded as PNG: {source}")]
    Image {
        /// The tag it was to be logged under.
        tag: String,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// Why.
        source: image::ImageError,
    },
    /// The summary to be continued has other columns than the run writes now.
    #[error(
        "{}: the columns are {found:?}, but this run writes {expected:?}; move the file away to start a new one",
        path.display()
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// The header that the run writes.
        expected: String,
        /// The file's first line.
        found: String,
    },
    /// A row of the summary to be continued is broken.
    #[error(
        "{}: line {line} is {found:?}, expected an epoch and {values} values; repair or delete the line",
        path.display()
    )]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The number of values after the epoch.
        values: usize,
        /// The line.
        found: String,
    },
    /// A row has another number of values than the summary has columns.
    #[error("{}: {found} values for {expected} columns behind the epoch", path.display())]
    Values {
        /// The file.
        path: PathBuf,
        /// The number of columns behind the epoch.
        expected: usize,
        /// The number of values given.
        found: usize,
    },
    /// A column's name does not fit on one line of a CSV file without quotes.
    #[error("column name {name:?}: expected a name without commas, quotes and line breaks")]
    ColumnName {
        /// The name.
        name: String,
    },
}
