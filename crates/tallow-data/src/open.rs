//! From a dataset's name or path to its splits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sources::{folder, manifest, named};
use crate::{Dataset, Error, Result, Subset, labels, stratified_split};

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
    /// The seed of the validation split.
    pub seed: u64,
}

/// How class names are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassOrder {
    /// As people sort: "class 2" before "class 10".
    #[default]
    Natural,
    /// By Unicode code points, torchvision's order: "class 10" before "class 2".
    Lexical,
}

/// A dataset's splits, all with the same classes.
#[derive(Clone)]
pub struct Splits {
    /// What is trained on.
    pub train: Arc<dyn Dataset>,
    /// What choices are made on: the dataset's own, or held out of the training split.
    pub validation: Option<Arc<dyn Dataset>>,
    /// What is reported.
    pub test: Option<Arc<dyn Dataset>>,
    /// Files in a folder dataset that are not images.
    pub ignored_files: usize,
}

/// Opens a dataset.
///
/// `spec` is the name of a [known dataset](crate::known_datasets), a folder of images (a class a sub-folder), or a
/// .csv manifest. A folder with the name of a known dataset is given as `./name`.
///
/// # Errors
/// Files not found (the message lists every place looked at), damaged or inconsistent; an option out of range.
pub fn open(spec: &str, options: &OpenOptions) -> Result<Splits> {
    if !(0.0..1.0).contains(&options.validation_fraction) {
        return Err(Error::Option {
            field: "validation_fraction",
            expected: "from 0 to below 1".into(),
            found: options.validation_fraction.to_string(),
        });
    }
    let splits = match named::find(spec) {
        Some(named) => named.open(options)?,
        None => open_path(spec, Path::new(spec), options)?,
    };
    hold_out_validation(splits, options)
}

fn open_path(spec: &str, path: &Path, options: &OpenOptions) -> Result<Splits> {
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    if path.is_dir() {
        folder::read(path, options)
    } else if is_csv && path.exists() {
        manifest::read(path, options)
    } else {
        Err(Error::UnknownDataset { spec: spec.into(), known: named::known_datasets().collect::<Vec<_>>().join(", ") })
    }
}

fn hold_out_validation(splits: Splits, options: &OpenOptions) -> Result<Splits> {
    if options.validation_fraction == 0.0 || splits.validation.is_some() {
        return Ok(splits);
    }
    let all = splits.train;
    let (train, validation) = stratified_split(&labels(all.as_ref()), options.validation_fraction, options.seed);
    if validation.is_empty() {
        return Err(Error::Option {
            field: "validation_fraction",
            expected: format!("large enough to hold out one of {} samples", all.len()),
            found: options.validation_fraction.to_string(),
        });
    }
    Ok(Splits {
        train: Arc::new(Subset::new(all.clone(), train)?),
        validation: Some(Arc::new(Subset::new(all, validation)?)),
        test: splits.test,
        ignored_files: splits.ignored_files,
    })
}
