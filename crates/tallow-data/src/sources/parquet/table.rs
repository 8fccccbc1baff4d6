//! One Parquet file: its columns, its labels, and reading at any position from any thread.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::options::OpenOptions;

/// Usual names of the image column, if the metadata do not name it.
const IMAGES: [&str; 5] = ["image", "img", "jpg", "png", "picture"];
/// Usual names of the label column, in order of preference.
const LABELS: [&str; 5] = ["label", "fine_label", "labels", "class", "target"];

/// An open file.
pub(super) struct Table {
    pub path: PathBuf,
    reader: SerializedFileReader<Positioned>,
    /// The column with the bytes of the image files.
    image: usize,
    label: usize,
    group: Option<usize>,
    time: Option<usize>,
    /// The class names, if they are in the metadata.
    pub class_names: Option<Vec<String>>,
}

/// The labels of a file: class numbers or class names.
pub(super) enum Labels {
    Numbers(Vec<i64>),
    Names(Vec<String>),
}

impl Labels {
    pub fn len(&self) -> usize {
        match self {
            Labels::Numbers(labels) => labels.len(),
            Labels::Names(labels) => labels.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Table {
    /// Reads the file's metadata and finds its columns.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let file = Positioned { file: Arc::new(file), length };
        let reader = SerializedFileReader::new(file)
            .map_err(|error| Error::format(path, "a Parquet file", error.to_string()))?;
        // A few bytes can say that a value is repeated a billion times.
        let rows = reader.metadata().file_metadata().num_rows();
        let groups: i64 =
            reader.metadata().row_groups().iter().map(|group| group.num_rows().max(0)).fold(0, i64::saturating_add);
        if u64::try_from(rows.max(groups)).unwrap_or(0) > length {
            let expected = format!("at most {length} rows in a file of as many bytes");
            return Err(Error::format(path, expected, format!("{} rows", rows.max(groups))));
        }
        let features = features(reader.metadata());
        let columns = reader.metadata().file_metadata().schema_descr().columns();
        let paths: Vec<String> = columns.iter().map(|column| column.path().parts().join(".")).collect();
        let find = |name: &str| paths.iter().position(|path| path == name);
        let missing = |what: &str, key: &str| {
            let expected = format!("a column of {what}: the one that {key} names, or");
            Error::format(
                path,
                format!("{expected} one of the usual names"),
                format!("the columns {}", paths.join(", ")),
            )
        };

        let of_type = |kind: &str| -> Vec<String> {
            let is = |feature: &Value| feature["_type"] == kind;
            features.iter().filter(|(_, feature)| is(feature)).map(|(name, _)| name.clone()).collect()
        };
        let names = |wanted: &Option<String>, typed: Vec<String>, usual: &[&str]| match wanted {
            Some(name) => vec![name.clone()],
            None => {
                let mut names: Vec<String> = usual.iter().map(|name| name.to_string()).collect();
                // A usual name of the right type first, then any of the type.
                names.sort_by_key(|name| !typed.contains(name));
                names.extend(typed);
                names
            }
        };
        let image = names(&options.image_column, of_type("Image"), &IMAGES);
        let image = image.iter().find_map(|name| find(&format!("{name}.bytes")).or_else(|| find(name)));
        let image = image.ok_or_else(|| missing("images", "image_column"))?;
        if columns[image].physical_type() != Type::BYTE_ARRAY || columns[image].max_rep_level() > 0 {
            return Err(Error::format(path, format!("image files in the column {}", paths[image]), "another type"));
        }
        let label = names(&options.label_column, of_type("ClassLabel"), &LABELS);
        let label = label.iter().find_map(|name| find(name)).ok_or_else(|| missing("labels", "label_column"))?;
        let one = |name: &Option<String>, key: &str| match name {
            Some(name) => find(name).map(Some).ok_or_else(|| missing(&format!("the name {name}"), key)),
            None => Ok(None),
        };
        let (group, time) = (one(&options.group_column, "group_column")?, one(&options.time_column, "time_column")?);
        let class_names = features.iter().find(|(name, _)| *name == paths[label]).and_then(|(_, feature)| {
            let names = feature["names"].as_array()?;
            names.iter().map(|name| name.as_str().map(String::from)).collect::<Option<Vec<String>>>()
        });
        Ok(Self { path: path.into(), image, label, group, time, class_names, reader })
    }

    /// The number of rows in each row group.
    pub fn group_lengths(&self) -> Vec<usize> {
        self.reader.metadata().row_groups().iter().map(|group| group.num_rows().max(0) as usize).collect()
    }

    /// The uncompressed size of all images, in bytes.
    pub fn image_bytes(&self) -> u64 {
        let bytes = |group: &parquet::file::metadata::RowGroupMetaData| group.column(self.image).uncompressed_size();
        self.reader.metadata().row_groups().iter().map(|group| bytes(group).max(0) as u64).sum()
    }

    /// A reader of the images of a row group.
    pub fn images(&self, group: usize) -> Result<ColumnReaderImpl<ByteArrayType>> {
        Ok(get_typed_column_reader(self.column(group, self.image)?))
    }

    /// The labels of all rows.
    pub fn labels(&self) -> Result<Labels> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns();
        match columns[self.label].physical_type() {
            Type::BYTE_ARRAY => Ok(Labels::Names(self.texts(self.label)?)),
            Type::INT64 => Ok(Labels::Numbers(self.values::<Int64Type>(self.label)?)),
            Type::INT32 => {
                Ok(Labels::Numbers(self.values::<Int32Type>(self.label)?.into_iter().map(i64::from).collect()))
            }
            other => Err(Error::format(&self.path, "labels that are whole numbers or texts", other.to_string())),
        }
    }

    /// The group of each row, if there is such a column.
    pub fn groups(&self) -> Result<Option<Vec<String>>> {
        self.group.map(|column| self.texts(column)).transpose()
    }

    /// The time of each row, if there is such a column.
    pub fn times(&self) -> Result<Option<Vec<String>>> {
        self.time.map(|column| self.texts(column)).transpose()
    }

    /// A column as text.
    fn texts(&self, column: usize) -> Result<Vec<String>> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns();
        let text = |bytes: &ByteArray| String::from_utf8_lossy(bytes.data()).into_owned();
        Ok(match columns[column].physical_type() {
            Type::BYTE_ARRAY => self.values::<ByteArrayType>(column)?.iter().map(text).collect(),
            Type::INT64 => self.values::<Int64Type>(column)?.iter().map(|n| n.to_string()).collect(),
            Type::INT32 => self.values::<Int32Type>(column)?.iter().map(|n| n.to_string()).collect(),
            Type::DOUBLE => {
                let values = self.values::<parquet::data_type::DoubleType>(column)?;
                values.iter().map(|n| n.to_string()).collect()
            }
            other => {
                let expected = format!("whole numbers or texts in {}", columns[column].path().string());
                return Err(Error::format(&self.path, expected, other.to_string()));
            }
        })
    }

    /// The values of a column without missing ones.
    fn values<T: DataType>(&self, column: usize) -> Result<Vec<T::T>> {
        let descr = self.reader.metadata().file_metadata().schema_descr().column(column);
        let name = descr.path().string();
        if descr.max_rep_level() > 0 {
            return Err(Error::format(&self.path, format!("one value a row in {name}"), "lists"));
        }
        let mut all = Vec::new();
        for (group, rows) in self.group_lengths().into_iter().enumerate() {
            let mut reader = get_typed_column_reader::<T>(self.column(group, column)?);
            let mut levels = Vec::new();
            let before = all.len();
            reader.read_records(rows, Some(&mut levels), None, &mut all).map_err(|error| self.damaged(error))?;
            if all.len() - before != rows {
                let found = format!("{} missing in row group {group}", rows - (all.len() - before));
                return Err(Error::format(&self.path, format!("a value in {name} in every row"), found));
            }
        }
        Ok(all)
    }

    fn column(&self, group: usize, column: usize) -> Result<ColumnReader> {
        let group = self.reader.get_row_group(group).map_err(|error| self.damaged(error))?;
        group.get_column_reader(column).map_err(|error| self.damaged(error))
    }

    fn damaged(&self, error: ParquetError) -> Error {
        Error::format(&self.path, "a whole Parquet file", format!("{error}; fetch the file again"))
    }
}

/// The column types that the `datasets` library stores in the metadata, by name, in order.
fn features(metadata: &ParquetMetaData) -> Vec<(String, Value)> {
    let pairs = metadata.file_metadata().key_value_metadata();
    let text = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref());
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    match &parsed["info"]["features"] {
        Value::Object(features) => features.iter().map(|(name, feature)| (name.clone(), feature.clone())).collect(),
        _ => Vec::new(),
    }
}

/// A file that is read at given positions, by several threads at once.
pub(super) struct Positioned {
    file: Arc<File>,
    length: u64,
}

/// A reader that starts at a given position.
pub(super) struct ReadFrom {
    file: Arc<File>,
    at: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Positioned {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::with_capacity(4096, ReadFrom { file: self.file.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // A damaged length must not allocate more than the file holds.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} lie behind the end, {}", self.length)));
        }
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}
