//! From a dataset's name or path to its splits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tallow_hub::{Hub, Repository};

use crate::sources::{folder, manifest, named, parquet, paths, wds};
use crate::split::{FoldOptions, cross_validation_fold};
use crate::{
    Cached, Dataset, Draft, Error, Result, Splits, Subset, group_split, groups, labels, stratified_split, time_split,
    times,
};

/// What a dataset on the Hub is named with: ours, and timm's.
const HUB: [&str; 3] = ["hf:", "hfds/", "hfids/"];

/// How to open a dataset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenOptions {
    /// Where a named dataset's files are looked for first.
    pub data_dir: Option<PathBuf>,
    /// The order of classes that come from folder names or a manifest.
    pub class_order: ClassOrder,
    /// The classes and their order, say those of a finished run: a sample of any other class is an error, and a class
    /// without samples is not. `None`: the dataset's own.
    pub classes: Option<Vec<String>>,
    /// The part of the training split to hold out for validation, 0 to below 1, stratified by class. Has no effect on a
    /// dataset that brings a validation split.
    pub validation_fraction: f64,
    /// The fold of the training split that is left out of it, for cross-validation, before a validation split is taken from
    /// the rest.
    pub fold: Option<FoldOptions>,
    /// The seed of the validation split and of the folds.
    pub seed: u64,
    /// The column of a manifest or a table, or the key in a shard's JSON, that names each sample's group (patient,
    /// scene): the validation split and the folds take whole groups.
    pub group_column: Option<String>,
    /// The column or key of the time of each sample: the validation split takes the latest. Numbers, or texts that sort
    /// as times do (2024-05-31T12:00).
    pub time_column: Option<String>,
    /// The column of images in a Parquet file. `None`: what the metadata say, or the usual names.
    pub image_column: Option<String>,
    /// The column of labels in a Parquet file, or the label's key in a shard's JSON. `None`: the usual ones.
    pub label_column: Option<String>,
    /// The short side that JPEG files may be decoded smaller to, in pixels ([`Draft`]). `None`: they are decoded as they are.
    pub draft: Option<u32>,
    /// The folder of a [cache](Cached) of decoded images. `None`: each is decoded again every epoch.
    pub cache: Option<PathBuf>,
    /// The short side that images in the cache are brought to, in pixels, where it is longer. `None`: as they are.
    pub cache_side: Option<usize>,
    /// Whether the training samples, which must be WebDataset's shards then, are streamed in place of indexed: read from start
    /// to end every epoch, from files or `http://` and `https://` addresses, at constant memory.
    pub stream: bool,
    /// The samples of an epoch of a stream. `None`: what `_info.json` counts.
    pub samples_per_epoch: Option<usize>,
}

/// How class names are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClassOrder {
    /// As people sort: "class 2" before "class 10".
    #[default]
    Natural,
    /// By Unicode code points, torchvision's order: "class 10" before "class 2".
    Lexical,
}

/// Opens a dataset.
///
/// `spec` is the name of a [known dataset](crate::known_datasets) (`torch/NAME` as timm has it), a folder of images (a
/// class a sub-folder), of .parquet files, of .tar shards, or of the files of MNIST or CIFAR; a .csv or .jsonl manifest; or
/// .parquet files or .tar shards by a pattern (`train-*.parquet`, `x-{0000..0099}.tar`, timm's prefix `wds/` before it or
/// not; shards that are streamed also by address, `https://host/x-{0000..0099}.tar`). `hf:OWNER/NAME[:CONFIG][@REVISION]`, or
/// timm's `hfds/OWNER/NAME`, is a dataset of Parquet files or shards on the Hugging Face Hub. A folder with the name of a known
/// dataset is given as `./name`.
///
/// # Errors
/// Files not found (the message lists every place looked at), damaged or inconsistent; an option out of range.
pub fn open(spec: &str, options: &OpenOptions) -> Result<Splits> {
    let (splits, _) = split(open_whole(spec, options)?, options)?;
    Ok(splits)
}

/// The samples of the training split that `options.fold` keeps out of it; none without a fold.
///
/// # Errors
/// As [`open`].
pub fn open_held_out(spec: &str, options: &OpenOptions) -> Result<Option<Arc<dyn Dataset>>> {
    let (_, held_out) = split(open_whole(spec, options)?, options)?;
    Ok(held_out)
}

/// The splits as the dataset has them.
fn open_whole(spec: &str, options: &OpenOptions) -> Result<Splits> {
    if !(0.0..1.0).contains(&options.validation_fraction) {
        return Err(Error::Option {
            field: "validation_fraction",
            expected: "from 0 to below 1".into(),
            found: options.validation_fraction.to_string(),
        });
    }
    if options.group_column.is_some() && options.time_column.is_some() {
        return Err(Error::Option {
            field: "time_column",
            expected: "absent where group_column is given: the validation split takes whole groups or the latest"
                .into(),
            found: options.time_column.clone().unwrap_or_default(),
        });
    }
    check_stream(options)?;
    let splits = open_spec(spec, options)?;
    if options.stream && splits.stream.is_none() {
        let expected = "false: of datasets only WebDataset's .tar shards are streamed".into();
        return Err(Error::Option { field: "stream", expected, found: format!("true for {spec}") });
    }
    wrapped(splits, options)
}

/// Refuses what needs samples by index where they are streamed.
fn check_stream(options: &OpenOptions) -> Result<()> {
    let fail = |field, expected: &str, found: String| Err(Error::Option { field, expected: expected.into(), found });
    if !options.stream {
        return match options.samples_per_epoch {
            Some(samples) => fail("samples_per_epoch", "absent without stream = true", samples.to_string()),
            None => Ok(()),
        };
    }
    if options.samples_per_epoch == Some(0) {
        return fail("samples_per_epoch", "at least 1", "0".into());
    }
    let given = [
        ("validation_fraction", (options.validation_fraction > 0.0).then(|| options.validation_fraction.to_string())),
        ("fold", options.fold.map(|fold| format!("fold {} of {}", fold.index, fold.count))),
        ("group_column", options.group_column.clone()),
        ("time_column", options.time_column.clone()),
        ("draft", options.draft.map(|side| side.to_string())),
        ("cache", options.cache.as_ref().map(|folder| folder.display().to_string())),
    ];
    match given.into_iter().find_map(|(field, found)| found.map(|found| (field, found))) {
        Some((field, found)) => fail(field, "absent beside stream = true: a stream has no index of its samples", found),
        None => Ok(()),
    }
}

/// Divides a dataset's own splits as `options` say: its training split without `options.fold`, less what
/// `options.validation_fraction` takes of that. Beside them the samples of the fold, if there is one.
///
/// # Errors
/// A fold or a fraction that the samples cannot be divided by.
pub fn split(splits: Splits, options: &OpenOptions) -> Result<(Splits, Option<Arc<dyn Dataset>>)> {
    let Some(fold) = options.fold else {
        return Ok((hold_out_validation(splits, options)?, None));
    };
    let all = splits.train;
    let fold = cross_validation_fold(all.as_ref(), fold, options)?;
    let train: Arc<dyn Dataset> = Arc::new(Subset::new(all.clone(), fold.train)?);
    let splits = hold_out_validation(Splits { train, ..splits }, options)?;
    Ok((splits, Some(Arc::new(Subset::new(all, fold.held_out)?))))
}

/// The splits with their images decoded as `options` say: smaller, once.
fn wrapped(splits: Splits, options: &OpenOptions) -> Result<Splits> {
    let wrap = |mut dataset: Arc<dyn Dataset>| -> Result<Arc<dyn Dataset>> {
        if let Some(short_side) = options.draft {
            dataset = Arc::new(Draft::new(dataset, short_side)?);
        }
        if let Some(folder) = &options.cache {
            dataset = Arc::new(Cached::new(dataset, folder, options.cache_side)?);
        }
        Ok(dataset)
    };
    Ok(Splits {
        train: wrap(splits.train)?,
        stream: splits.stream,
        validation: splits.validation.map(wrap).transpose()?,
        test: splits.test.map(wrap).transpose()?,
        ignored_files: splits.ignored_files,
    })
}

fn open_spec(spec: &str, options: &OpenOptions) -> Result<Splits> {
    if let Some(name) = spec.strip_prefix("torch/") {
        return open_torch(spec, name, options);
    }
    if let Some(name) = HUB.iter().find_map(|prefix| spec.strip_prefix(prefix)) {
        let fetched = Hub::from_env().dataset(name).map_err(Error::Hub)?;
        return open_repository(&fetched, options);
    }
    if let Some(shards) = spec.strip_prefix("wds/") {
        // timm's name is free, and `data_dir` holds the shards.
        return match (&options.data_dir, Path::new(shards).exists() || paths::is_pattern(shards)) {
            (Some(folder), false) => open_path(spec, folder, options),
            _ => open_path(shards, Path::new(shards), options),
        };
    }
    match named::find(spec) {
        Some(named) => named.open(options),
        None => open_path(spec, Path::new(spec), options),
    }
}

/// The files of a dataset on the Hub.
fn open_repository(fetched: &Repository, options: &OpenOptions) -> Result<Splits> {
    let with = |extension| -> Vec<PathBuf> {
        fetched.files.iter().filter(|file| paths::has_extension(file, &[extension])).cloned().collect()
    };
    let (tables, shards) = (with(parquet::EXTENSION), with(wds::EXTENSION));
    match tables.is_empty() {
        true => wds::read(&shards, &fetched.folder, options),
        false => parquet::read(&tables, &fetched.folder, options),
    }
}

/// torchvision's datasets by the names that timm gives them, and `torch/image_folder` for a folder in torchvision's order.
fn open_torch(spec: &str, name: &str, options: &OpenOptions) -> Result<Splits> {
    let name = name.to_ascii_lowercase();
    if let ("image_folder" | "folder", Some(folder)) = (name.as_str(), &options.data_dir) {
        return folder::read(folder, &OpenOptions { class_order: ClassOrder::Lexical, ..options.clone() });
    }
    match named::find(&name.replace("_mnist", "-mnist").replace("fashionmnist", "fashion-mnist")) {
        Some(named) => named.open(options),
        None => Err(unknown(spec)),
    }
}

fn open_path(spec: &str, path: &Path, options: &OpenOptions) -> Result<Splits> {
    let pattern = !path.exists() && paths::is_pattern(spec);
    if path.is_dir() {
        return open_folder(path, options);
    }
    let files = match pattern {
        true => paths::expand(spec)?,
        false => vec![path.to_path_buf()],
    };
    let remote = files.iter().find(|file| wds::address(file).is_some());
    if let Some(file) = remote.filter(|_| !options.stream) {
        let expected = "stream = true for what lies at an address: only streams are read from there";
        return Err(Error::format(file, expected, "stream = false"));
    }
    let is_there = |file: &PathBuf| wds::address(file).is_some() || file.is_file();
    let exist = !files.is_empty() && files.iter().all(is_there);
    let all_end = |extension| exist && files.iter().all(|file| paths::has_extension(file, &[extension]));
    if all_end(parquet::EXTENSION) {
        parquet::read(&files, Path::new(""), options)
    } else if exist && files.iter().all(|file| wds::is_shard(file)) {
        wds::read(&files, Path::new(""), options)
    } else if exist && !pattern && paths::has_extension(path, &manifest::EXTENSIONS) {
        manifest::read(path, options)
    } else if let Some(missing) = files.iter().find(|file| pattern && !is_there(file)) {
        Err(Error::io(missing)(std::io::ErrorKind::NotFound.into()))
    } else {
        Err(unknown(spec))
    }
}

/// A folder by what lies in it.
fn open_folder(path: &Path, options: &OpenOptions) -> Result<Splits> {
    if let Some(splits) = named::read_unnamed(path, options)? {
        return Ok(splits);
    }
    let tables = paths::below(path, &[parquet::EXTENSION])?;
    if !tables.is_empty() {
        return parquet::read(&tables, path, options);
    }
    let shards = paths::below(path, &[wds::EXTENSION])?;
    if !shards.is_empty() {
        return wds::read(&shards, path, options);
    }
    folder::read(path, options)
}

fn unknown(spec: &str) -> Error {
    Error::UnknownDataset { spec: spec.into(), known: named::known_datasets().collect::<Vec<_>>().join(", ") }
}

fn hold_out_validation(splits: Splits, options: &OpenOptions) -> Result<Splits> {
    let fraction = options.validation_fraction;
    if fraction == 0.0 || splits.validation.is_some() {
        return Ok(splits);
    }
    let all = splits.train;
    let without = |field, what: &str| Error::Option {
        field,
        expected: format!("absent: this dataset knows no {what} of its samples"),
        found: "given".into(),
    };
    let (train, validation) = if options.group_column.is_some() {
        let groups = groups(all.as_ref()).ok_or_else(|| without("group_column", "groups"))?;
        group_split(&groups, &labels(all.as_ref()), fraction, options.seed)
    } else if options.time_column.is_some() {
        time_split(&times(all.as_ref()).ok_or_else(|| without("time_column", "times"))?, fraction)
    } else {
        stratified_split(&labels(all.as_ref()), fraction, options.seed)
    };
    if validation.is_empty() || train.is_empty() {
        return Err(Error::Option {
            field: "validation_fraction",
            expected: format!("such that {} samples can be divided", all.len()),
            found: fraction.to_string(),
        });
    }
    Ok(Splits {
        train: Arc::new(Subset::new(all.clone(), train)?),
        stream: None,
        validation: Some(Arc::new(Subset::new(all, validation)?)),
        test: splits.test,
        ignored_files: splits.ignored_files,
    })
}
