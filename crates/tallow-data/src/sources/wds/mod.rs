//! WebDataset: tar archives (shards) in which files of one name, but for the extension, are one sample.
//!
//! Shards on disk are an ordinary dataset: only the archives' headers and the labels are read, and a sample costs 24
//! bytes. [`ShardStream`](crate::ShardStream) reads shards from start to end instead, without an index, from files or from
//! addresses.
//!
//! # Source
//! The naming is that of the `webdataset` package; `_info.json` (splits, their shards, the label's key) is timm's.

mod index;
mod info;
mod remote;
mod stream;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use self::index::{ShardIndex, Shards};
pub(crate) use self::info::{Info, SplitInfo};
pub(crate) use self::remote::address;
use self::remote::path_of;
use self::stream::NoSamples;
pub use self::stream::{EpochSamples, ShardStream, StreamConfig, StreamSample};
use self::walk::Keys;
use super::classes::{Classes, numbered};
use super::paths::Split;
use crate::{Dataset, Error, OpenOptions, Result, Splits};

/// The file name extension.
pub(crate) const EXTENSION: &str = "tar";
/// What shards hold.
const SAMPLES: &str = "samples of an image (jpg, png, webp) and a label (cls, or json with a label) in .tar files";

/// Whether a file or an address is a shard by its name.
pub(crate) fn is_shard(path: &Path) -> bool {
    let path = address(path).map_or(path, |address| Path::new(path_of(address)));
    super::paths::has_extension(path, &[EXTENSION])
}

/// Opens the shards; each belongs to the split that `_info.json` or its name below `root` says, else to training. All are
/// indexed but, where `options.stream` says so, those of training.
pub(crate) fn read(files: &[PathBuf], root: &Path, options: &OpenOptions) -> Result<Splits> {
    let info = Info::beside(files, root, options.data_dir.as_deref())?;
    let [train, validation, test] = by_split(files, root, &info);
    if options.stream {
        return streamed(train, [validation, test], &info, root, options);
    }
    let [train, validation, test] =
        [indexed(&train, &info, options)?, indexed(&validation, &info, options)?, indexed(&test, &info, options)?];
    if without_samples(&train) {
        return Err(Error::NoImages { path: root.into(), expected: SAMPLES });
    }
    let own = own_classes(&train, &info, options);
    let classes = own.in_use(options);
    let ignored_files = [&train, &validation, &test].into_iter().flatten().map(|shard| shard.ignored).sum();
    let split = |shards: Vec<ShardIndex>| dataset(shards, &own, &classes, options);
    let (validation, test) = (split(validation)?, split(test)?);
    let train = Arc::new(Shards::new(train, &own, &classes, options)?);
    Ok(Splits { train, stream: None, validation, test, ignored_files })
}

/// Splits whose training samples are streamed.
fn streamed(
    train: Vec<PathBuf>,
    others: [Vec<PathBuf>; 2],
    info: &Info,
    root: &Path,
    options: &OpenOptions,
) -> Result<Splits> {
    if let Some(path) = others.iter().flatten().find(|path| address(path).is_some()) {
        let expected =
            "training shards alone at addresses: fetch the others and join them by `::` (https://…::val/x-{0..3}.tar)";
        return Err(Error::format(path, expected, "a validation or test shard, which is indexed"));
    }
    let stream = ShardStream::of(train, info, root, options, StreamConfig::default())?;
    stream.samples()?;
    let (own, classes) = stream.classes();
    let [validation, test] = others.map(|files| indexed(&files, info, options));
    let (validation, test) = (validation?, test?);
    let ignored_files = [&validation, &test].into_iter().flatten().map(|shard| shard.ignored).sum();
    let split = |shards: Vec<ShardIndex>| dataset(shards, own, classes, options);
    let (validation, test) = (split(validation)?, split(test)?);
    let train = Arc::new(NoSamples(classes.names.clone()));
    Ok(Splits { train, stream: Some(stream), validation, test, ignored_files })
}

/// The shards of training, validation and test.
fn by_split(files: &[PathBuf], root: &Path, info: &Info) -> [Vec<PathBuf>; 3] {
    let split_of = |path: &PathBuf| {
        info.split_of(path).or_else(|| match address(path) {
            Some(address) => Split::of(Path::new(path_of(address)), Path::new("")),
            None => Split::of(path, root),
        })
    };
    let has_train = files.iter().any(|path| matches!(split_of(path), None | Some(Split::Train)));
    let only = files.first().and_then(split_of);
    let mut splits = [Vec::new(), Vec::new(), Vec::new()];
    for path in files {
        let split = match split_of(path) {
            // What has but one split is what was asked for, whatever it is called.
            split if !has_train && split == only => 0,
            None | Some(Split::Train) => 0,
            Some(Split::Validation) => 1,
            Some(Split::Test) => 2,
        };
        splits[split].push(path.clone());
    }
    splits
}

/// Indexes shards, and checks the numbers of their samples.
fn indexed(files: &[PathBuf], info: &Info, options: &OpenOptions) -> Result<Vec<ShardIndex>> {
    let index = |path: &PathBuf| {
        let shard = ShardIndex::read(path, &Keys::new(options, info.label_key(path)))?;
        info.check(path, shard.entries.len() + shard.negative)?;
        Ok(shard)
    };
    files.par_iter().map(index).collect()
}

fn without_samples(shards: &[ShardIndex]) -> bool {
    shards.iter().all(|shard| shard.entries.is_empty())
}

/// The split of these shards; none without samples.
fn dataset(
    shards: Vec<ShardIndex>,
    own: &Classes,
    classes: &Classes,
    options: &OpenOptions,
) -> Result<Option<Arc<dyn Dataset>>> {
    match without_samples(&shards) {
        true => Ok(None),
        false => Ok(Some(Arc::new(Shards::new(shards, own, classes, options)?))),
    }
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
