//! WebDataset: tar archives (shards) in which the files with the same name, apart from the extension, are one sample.
//!
//! Shards on disk are indexed: only the archives' headers and the labels are read, and a sample takes 24 bytes of
//! memory.
//! [`ShardStream`] reads shards from start to end instead, without an index, from files or addresses.
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
use self::stream::NoSamples;
pub use self::stream::{EpochSamples, ShardStream};
use self::walk::{Keys, SAMPLES};
use super::classes::{Classes, numbered};
use super::paths::address;
use crate::complete::check_complete;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::names::listed;
use crate::options::OpenOptions;
use crate::splits::Splits;
use crate::stream::{SampleStream as _, StreamConfig};

/// Opens the shards. A shard belongs to the split that `_info.json` or its name below `root` tells, else to training.
/// With `options.stream`, the training shards are streamed; all others are indexed.
pub(crate) fn read(files: &[PathBuf], root: &Path, options: &OpenOptions) -> Result<Splits> {
    let mut findings = Findings::new(options);
    let info = Info::beside(files, root, options.data_dir.as_deref())?;
    check_complete(files, options, &mut findings)?;
    info.check_complete(files, options, &mut findings)?;
    let [train, validation, test] = info.by_split(files, root);
    if options.stream {
        let splits = streamed(train, [validation, test], &info, root, &mut findings, options)?;
        return Ok(findings.into_splits(splits));
    }
    let [train, validation, test] =
        [indexed(&train, &info, options)?, indexed(&validation, &info, options)?, indexed(&test, &info, options)?];
    if without_samples(&train) {
        let path = files.first().map_or(root, PathBuf::as_path);
        return Err(Error::NoImages { path: path.into(), expected: SAMPLES });
    }
    let own = own_classes(&train, &info, options);
    let classes = own.in_use(options.classes.as_deref());
    let shards: Vec<&ShardIndex> = [&train, &validation, &test].into_iter().flatten().collect();
    let without = note_rest(&shards, &mut findings);
    let split = |shards: Vec<ShardIndex>| dataset(shards, &own, &classes, options);
    let (validation, test) = (split(validation)?, split(test)?);
    let train = Arc::new(Shards::new(train, &own, &classes, options)?);
    Ok(findings.into_splits(Splits { validation, test, ignored_files: without, ..Splits::of(train) }))
}

/// Notes what the shards hold beside their samples. Returns the number of samples that are not taken.
fn note_rest(shards: &[&ShardIndex], findings: &mut Findings) -> usize {
    let without_image: usize = shards.iter().map(|shard| shard.rest.without_image).sum();
    let negative: usize = shards.iter().map(|shard| shard.negative).sum();
    shards.iter().for_each(|shard| findings.untaken_all(&shard.rest.members));
    if without_image > 0 {
        let name = |shard: &&&ShardIndex| format!("{} {}", shard.path.display(), shard.rest.without_image);
        let of: Vec<String> = shards.iter().filter(|shard| shard.rest.without_image > 0).map(|s| name(&s)).collect();
        findings.note(format!("not taken: {without_image} samples without an image ({})", listed(&of)));
    }
    if negative > 0 {
        findings.note(format!("not taken: {negative} samples with a negative label, which stands for none"));
    }
    without_image + negative
}

/// Splits with streamed training samples.
fn streamed(
    train: Vec<PathBuf>,
    others: [Vec<PathBuf>; 2],
    info: &Info,
    root: &Path,
    findings: &mut Findings,
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
    let ignored_files = note_rest(&[&validation, &test].into_iter().flatten().collect::<Vec<_>>(), findings);
    let split = |shards: Vec<ShardIndex>| dataset(shards, own, classes, options);
    let (validation, test) = (split(validation)?, split(test)?);
    let train = Arc::new(NoSamples(classes.names.clone()));
    Ok(Splits { stream: Some(Arc::new(stream)), validation, test, ignored_files, ..Splits::of(train) })
}

/// Indexes shards and checks their numbers of samples.
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

/// The dataset of these shards; `None` without samples.
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

/// The classes that a file beside the shards names, else those of the labels: 0 to the highest number, or the names.
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
