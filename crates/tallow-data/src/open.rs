//! Opens the splits of a dataset given by name, path, pattern or Hub repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cache::Cached;
use crate::dataset::{Dataset, groups, labels, times};
use crate::error::{Error, Result};
use crate::options::{ClassOrder, OpenOptions};
use crate::pixels::{ConvertedPixels, check_rule};
use crate::scaled_jpeg::ScaledJpeg;
use crate::sources::features::{fetch_from_hub, read_parquet, read_shards};
use crate::sources::{folder, manifest, named, paths};
use crate::split::{cross_validation_fold, group_split, stratified_split, time_split};
use crate::splits::Splits;
use crate::subset::Subset;

/// Prefixes of datasets on the Hub: ours, and timm's.
const HUB_PREFIXES: [&str; 3] = ["hf:", "hfds/", "hfids/"];

/// Opens a dataset.
///
/// `spec` is one of:
/// - the name of a [known dataset](crate::known_datasets), with or without timm's prefix `torch/`;
/// - a folder of images (one sub-folder per class), of .parquet files, of .tar shards, or of the files of MNIST or
///   CIFAR;
/// - a .csv or .jsonl manifest;
/// - .parquet files or .tar shards by a pattern: `train-*.parquet`, `x-{0000..0099}.tar`; timm's prefix `wds/` is
///   allowed. Shards that are streamed may be addresses: `https://host/x-{0000..0099}.tar`;
/// - a dataset of Parquet files or shards on the Hugging Face Hub: `hf:OWNER/NAME[:CONFIG][@REVISION]`, or timm's
///   `hfds/OWNER/NAME`.
///
/// A folder that has the name of a known dataset is given as `./name`.
///
/// # Errors
/// Files are missing (the message lists every place that was searched), damaged or inconsistent; an option is out of
/// range; the format needs a feature of this crate that is off.
pub fn open(spec: &str, options: &OpenOptions) -> Result<Splits> {
    let (splits, _) = split(open_whole(spec, options)?, options)?;
    Ok(splits)
}

/// Opens the samples that `options.fold` holds out of the training split; `None` without a fold.
///
/// # Errors
/// As [`open`].
pub fn open_held_out(spec: &str, options: &OpenOptions) -> Result<Option<Arc<dyn Dataset>>> {
    let (_, held_out) = split(open_whole(spec, options)?, options)?;
    Ok(held_out)
}

/// The dataset's own splits, with their images decoded as `options` say.
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
            expected: "absent if group_column is given: the validation split takes whole groups or the latest samples"
                .into(),
            found: options.time_column.clone().unwrap_or_default(),
        });
    }
    check_stream(options)?;
    check_rule(&options.pixel_rule)?;
    let splits = open_spec(spec, options)?;
    if options.stream && splits.stream.is_none() {
        let expected = "false: only WebDataset's .tar shards can be streamed".into();
        return Err(Error::Option { field: "stream", expected, found: format!("true for {spec}") });
    }
    with_decoding(splits, options)
}

/// Refuses options that need samples by index if they are streamed.
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
        Some((field, found)) => fail(field, "absent if stream = true: a stream has no index of its samples", found),
        None => Ok(()),
    }
}

/// Divides the training split: removes the samples of `options.fold`, then holds out `options.validation_fraction` of
/// the rest for validation. Returns the splits and the samples of the fold, if there is one.
///
/// # Errors
/// The samples cannot be divided by the fold or the fraction.
pub fn split(splits: Splits, options: &OpenOptions) -> Result<(Splits, Option<Arc<dyn Dataset>>)> {
    let Some(fold) = options.fold else {
        return Ok((hold_out_validation(splits, options)?, None));
    };
    let all = splits.train.clone();
    let fold = cross_validation_fold(all.as_ref(), fold, options)?;
    let train: Arc<dyn Dataset> = Arc::new(Subset::new(all.clone(), fold.train)?);
    let splits = hold_out_validation(Splits { train, ..splits }, options)?;
    Ok((splits, Some(Arc::new(Subset::new(all, fold.held_out)?))))
}

/// The splits with their images decoded at a smaller scale and cached, as `options` say.
fn with_decoding(splits: Splits, options: &OpenOptions) -> Result<Splits> {
    let wrap = |mut dataset: Arc<dyn Dataset>| -> Result<Arc<dyn Dataset>> {
        if let Some(short_side) = options.draft {
            dataset = Arc::new(ScaledJpeg::new(dataset, short_side)?);
        }
        if !options.pixel_rule.is_default() {
            dataset = Arc::new(ConvertedPixels::new(dataset, options.pixel_rule));
        }
        if let Some(folder) = &options.cache {
            dataset = Arc::new(Cached::new(dataset, folder, options.cache_side)?);
        }
        Ok(dataset)
    };
    Ok(Splits {
        train: wrap(splits.train)?,
        validation: splits.validation.map(wrap).transpose()?,
        test: splits.test.map(wrap).transpose()?,
        ..splits
    })
}

fn open_spec(spec: &str, options: &OpenOptions) -> Result<Splits> {
    if let Some(name) = spec.strip_prefix("torch/") {
        return open_torch(spec, name, options);
    }
    if let Some(name) = HUB_PREFIXES.iter().find_map(|prefix| spec.strip_prefix(prefix)) {
        return open_hub(name, options);
    }
    if let Some(shards) = spec.strip_prefix("wds/") {
        // With timm's prefix, any name may stand for the shards in `data_dir`.
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

/// Fetches and opens a dataset on the Hub.
fn open_hub(name: &str, options: &OpenOptions) -> Result<Splits> {
    let (folder, files) = fetch_from_hub(name)?;
    let with = |extension| -> Vec<PathBuf> {
        files.iter().filter(|file| paths::has_extension(file, &[extension])).cloned().collect()
    };
    let (tables, shards) = (with(paths::PARQUET), with(paths::SHARD));
    match tables.is_empty() {
        true => read_shards(&shards, &folder, options),
        false => read_parquet(&tables, &folder, options),
    }
}

/// torchvision's datasets under timm's names, and `torch/image_folder`: a folder with classes in torchvision's order.
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
    let remote = files.iter().find(|file| paths::address(file).is_some());
    if let Some(file) = remote.filter(|_| !options.stream) {
        let expected = "stream = true: shards at an address can only be streamed";
        return Err(Error::format(file, expected, "stream = false"));
    }
    // Files that are named one by one are a choice; a wildcard means all.
    let named = OpenOptions { allow_missing_files: true, ..options.clone() };
    let options = if pattern && spec.contains(['*', '?']) { options } else { &named };
    let is_there = |file: &PathBuf| paths::address(file).is_some() || file.is_file();
    let exist = !files.is_empty() && files.iter().all(is_there);
    let all_end = |extension| exist && files.iter().all(|file| paths::has_extension(file, &[extension]));
    if all_end(paths::PARQUET) {
        read_parquet(&files, Path::new(""), options)
    } else if exist && files.iter().all(|file| paths::is_shard(file)) {
        read_shards(&files, Path::new(""), options)
    } else if exist && !pattern && paths::has_extension(path, &manifest::EXTENSIONS) {
        manifest::read(path, options)
    } else if let Some(missing) = files.iter().find(|file| pattern && !is_there(file)) {
        Err(Error::io(missing)(std::io::ErrorKind::NotFound.into()))
    } else {
        Err(unknown(spec))
    }
}

/// Opens a folder in the format of its content.
fn open_folder(path: &Path, options: &OpenOptions) -> Result<Splits> {
    if let Some(splits) = named::read_unnamed(path, options)? {
        return Ok(splits);
    }
    let tables = paths::below(path, &[paths::PARQUET])?;
    if !tables.is_empty() {
        return read_parquet(&tables, path, options);
    }
    let shards = paths::below(path, &[paths::SHARD])?;
    if !shards.is_empty() {
        return read_shards(&shards, path, options);
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
    let all = splits.train.clone();
    let without = |field, what: &str| Error::Option {
        field,
        expected: format!("absent: this dataset has no {what}"),
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
            expected: format!("such that both parts of the {} samples have samples", all.len()),
            found: fraction.to_string(),
        });
    }
    Ok(Splits {
        train: Arc::new(Subset::new(all.clone(), train)?),
        validation: Some(Arc::new(Subset::new(all, validation)?)),
        ..splits
    })
}
