//! Writes Parquet files of images in the format of the `datasets` library, which the Hub and its viewer read.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::format::WriteOptions;
use super::image_file::image_file;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::paths::Split;

const SCHEMA: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (STRING); }
    optional int64 label;
}";
/// The number of rows in a row group, as `datasets` writes images.
const GROUP_ROWS: usize = 100;
/// The size of a page in bytes. Reading an image reads up to one page beside it.
const PAGE_BYTES: usize = 128 << 10;

/// Writes `data/train-00000-of-00003.parquet`, ….
pub(super) fn write(splits: &[(Split, &dyn Dataset)], to: &Path, options: &WriteOptions) -> Result<()> {
    let folder = to.join("data");
    std::fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
    for (split, dataset) in splits {
        let files = dataset.len().div_ceil(options.samples_per_file);
        for file in 0..files {
            let rows = file * options.samples_per_file..((file + 1) * options.samples_per_file).min(dataset.len());
            let path = folder.join(format!("{}-{file:05}-of-{files:05}.parquet", split.name()));
            write_file(&path, *dataset, rows)?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, dataset: &dyn Dataset, rows: std::ops::Range<usize>) -> Result<()> {
    let failed = |error: parquet::errors::ParquetError| Error::write(path)(std::io::Error::other(error.to_string()));
    let features = json!({"info": {"features": {
        "image": {"_type": "Image"},
        "label": {"names": dataset.class_names(), "_type": "ClassLabel"},
    }}});
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), features.to_string())]))
        // Image files are compressed already.
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(1);
    let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
    let file = File::create(path).map_err(Error::write(path))?;
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).map_err(failed)?;
    for start in rows.clone().step_by(GROUP_ROWS) {
        let group = start..(start + GROUP_ROWS).min(rows.end);
        let (mut images, mut names, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for index in group {
            let (bytes, extension) = image_file(dataset, index, &["jpg", "png", "webp", "bmp", "gif", "tiff"])?;
            images.push(ByteArray::from(bytes));
            names.push(ByteArray::from(format!("{index:08}.{extension}").as_str()));
            labels.push(dataset.label(index) as i64);
        }
        let rows = labels.len();
        let mut group = writer.next_row_group().map_err(failed)?;
        let mut column = 0;
        while let Some(mut next) = group.next_column().map_err(failed)? {
            // Definition levels: struct, field and label are present.
            let (struct_there, field_there) = (vec![2; rows], vec![1; rows]);
            let written = match column {
                0 => next.typed::<ByteArrayType>().write_batch(&images, Some(&struct_there), None),
                1 => next.typed::<ByteArrayType>().write_batch(&names, Some(&struct_there), None),
                _ => next.typed::<Int64Type>().write_batch(&labels, Some(&field_there), None),
            };
            written.map_err(failed)?;
            next.close().map_err(failed)?;
            column += 1;
        }
        group.close().map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}
