//! Writes WebDataset shards and the `_info.json` that timm reads.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use tallow_base::write_atomically;
use tar::{Builder, Header};

use super::format::WriteOptions;
use super::image_file::image_file;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::paths::Split;
use crate::sources::wds::{Info, SplitInfo};

/// Writes `train-000000.tar`, … and `_info.json`.
pub(super) fn write(splits: &[(Split, &dyn Dataset)], to: &Path, options: &WriteOptions) -> Result<()> {
    let mut info = Info::default();
    for (split, dataset) in splits {
        info.class_names = Some(dataset.class_names().to_vec());
        let mut of_split = SplitInfo { name: split.name().into(), num_samples: dataset.len(), ..SplitInfo::default() };
        for start in (0..dataset.len()).step_by(options.samples_per_file) {
            let samples = start..(start + options.samples_per_file).min(dataset.len());
            let name = format!("{}-{:06}.tar", split.name(), start / options.samples_per_file);
            of_split.shard_lengths.push(samples.len());
            write_shard(&to.join(&name), *dataset, samples)?;
            of_split.filenames.push(name);
        }
        info.splits.insert(split.name().into(), of_split);
    }
    let path = to.join("_info.json");
    let text = serde_json::to_vec_pretty(&info).map_err(|error| Error::write(&path)(error.into()))?;
    write_atomically(&path, &text).map_err(Error::write(&path))
}

fn write_shard(path: &Path, dataset: &dyn Dataset, samples: std::ops::Range<usize>) -> Result<()> {
    let file = File::create(path).map_err(Error::write(path))?;
    let mut archive = Builder::new(BufWriter::with_capacity(1 << 20, file));
    for index in samples {
        // The extensions that timm reads: jpg;png;webp.
        let (bytes, extension) = image_file(dataset, index, &["jpg", "png", "webp"])?;
        let mut append = |extension: &str, content: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{index:09}.{extension}"), content).map_err(Error::write(path))
        };
        append(extension, &bytes)?;
        append("cls", dataset.label(index).to_string().as_bytes())?;
    }
    let mut file = archive.into_inner().map_err(Error::write(path))?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(Error::write(path))
}
