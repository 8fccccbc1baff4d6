//! WebDataset: tar archives (shards) in which files of one name, but for the extension, are one sample.
//!
//! Shards on disk are an ordinary dataset: only the archives' headers and the labels are read, and a sample costs 24
//! bytes. [`ShardStream`](crate::ShardStream) reads shards from start to end instead, without an index.
//!
//! # Source
//! The naming is that of the `webdataset` package; `_info.json` (splits, their shards, the label's key) is timm's.

mod index;
mod info;
mod stream;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use self::index::{ShardIndex, Shards};
pub(crate) use self::info::{Info, SplitInfo};
pub use self::stream::{EpochSamples, ShardStream, StreamConfig, StreamSample};
use self::walk::Keys;
use super::classes::{Classes, numbered};
use super::paths::Split;
use crate::{Dataset, Error, OpenOptions, Result, Splits};

/// The file name extension.
pub(crate) const EXTENSION: &str = "tar";

/// Indexes the shards; each belongs to the split that `_info.json` or its name below `root` says, else to training.
pub(crate) fn read(files: &[PathBuf], root: &Path, options: &OpenOptions) -> Result<Splits> {
    let info = Info::beside(files, root)?;
    let split_of = |path: &PathBuf| info.split_of(path).or_else(|| Split::of(path, root));
    let has_train = files.iter().any(|path| matches!(split_of(path), None | Some(Split::Train)));
    let only = files.first().and_then(split_of);
    let indexed = files
        .par_iter()
        .map(|path| {
            let keys = Keys::new(options, info.label_key(path));
            ShardIndex::read(path, &keys)
        })
        .collect::<Result<Vec<_>>>()?;

    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let mut ignored_files = 0;
    for shard in indexed {
        info.check(&shard.path, shard.entries.len() + shard.negative)?;
        ignored_files += shard.ignored;
        match split_of(&shard.path) {
            // What has but one split is what was asked for, whatever it is called.
            split if !has_train && split == only => train.push(shard),
            None | Some(Split::Train) => train.push(shard),
            Some(Split::Validation) => validation.push(shard),
            Some(Split::Test) => test.push(shard),
        }
    }
    let own = own_classes(&train, &info, options);
    let classes = own.in_use(options);
    let split = |shards: Vec<ShardIndex>| -> Result<Arc<dyn Dataset>> {
        Ok(Arc::new(Shards::new(shards, &own, &classes, options)?))
    };
    let given = |shards: Vec<ShardIndex>| -> Result<Option<Arc<dyn Dataset>>> {
        let empty = shards.iter().all(|shard| shard.entries.is_empty());
        if empty { Ok(None) } else { split(shards).map(Some) }
    };
    if train.iter().all(|shard| shard.entries.is_empty()) {
        let expected = "samples of an image (jpg, png, webp) and a label (cls, or json with a label) in .tar files";
        return Err(Error::NoImages { path: root.into(), expected });
    }
    let (validation, test) = (given(validation)?, given(test)?);
    Ok(Splits { train: split(train)?, validation, test, ignored_files })
}

/// The classes that the folder's files name, else those of the labels: 0 to the highest number, or the names.
fn own_classes(train: &[ShardIndex], info: &Info, options: &OpenOptions) -> Classes {
    if let Some(names) = &info.class_names {
        return Classes::given(names.clone());
    }
    let labels = || train.iter().flat_map(|shard| shard.labels.iter());
    match labels().map(|label| label.parse::<i64>().ok()).collect::<Option<Vec<i64>>>() {
        Some(numbers) => Classes::given(numbered(numbers.into_iter().max())),
        None => Classes::sorted(labels().cloned().collect(), options.class_order),
    }
}
