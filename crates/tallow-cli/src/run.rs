//! What the commands share: a run's export and description, the choice of a split, a run as an argument.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tallow_data::{Dataset, Splits};
use tallow_export::CheckpointInfo;
use tallow_models::Built;
use tallow_train::{Finished, Measured, Predictor, Resolved, RunDir};

/// Writes model.safetensors and config.json in timm's layout into the directory of a run that took so many steps.
pub fn export(finished: &Finished, steps: u64) -> Result<()> {
    let mut info = info(finished);
    info.num_batches_tracked = i64::try_from(steps)?;
    Ok(tallow_export::save(finished.run.path(), &finished.built.store, &info)?)
}

/// What a checkpoint of a run says of itself.
pub fn info(finished: &Finished) -> CheckpointInfo {
    let mut info = CheckpointInfo::new(&finished.built.info, finished.classes.clone());
    info.preprocessing.mean = finished.config.augment.mean.clone().unwrap_or_default();
    info.preprocessing.std = finished.config.augment.std.clone().unwrap_or_default();
    info
}

/// Measures a split of a run or an ensemble, and lists the images that were left out.
pub fn evaluate(predictor: &Predictor, split: &str, dataset: Arc<dyn Dataset>) -> Result<Measured> {
    let measured = predictor.evaluate(split, dataset)?;
    if let Some(what) = predictor.fitted_on().filter(|what| what.starts_with(&format!("{split},"))) {
        eprintln!("note: this ensemble was fitted on {what}: on the {split} split it looks better than it is");
    }
    for id in &measured.predictions.skipped {
        eprintln!("skipped, cannot be read: {id}");
    }
    Ok(measured)
}

/// What is said first of a split: its name, how many images, loss and accuracy.
pub fn first_line(finished: &Finished, split: &str, dataset: Arc<dyn Dataset>) -> Result<String> {
    let evaluation = finished.predictions(dataset)?.evaluate(&finished.classes)?.to_string();
    Ok(format!("{split}: {}", evaluation.lines().next().unwrap_or_default()))
}

/// The lines that say what is about to be trained.
pub fn headline(resolved: &Resolved, splits: &Splits, built: &Built, run: &RunDir) -> String {
    let config = &resolved.config;
    let count = |split: &Option<Arc<dyn Dataset>>, name| match split {
        Some(dataset) => format!(", {} {name}", dataset.len()),
        None => String::new(),
    };
    let (h, w, c) = resolved.train.output_shape();
    let mut text = format!(
        "data   {}: {} training images{}{} in {} classes, {c}×{h}×{w}\nmodel  {}: {:.2} M parameters\nrun    {}",
        config.data.spec,
        splits.train_samples().unwrap_or_default(),
        count(&splits.validation, "validation"),
        count(&splits.test, "test"),
        splits.train.class_names().len(),
        config.model.name,
        built.store.parameter_count() as f64 / 1e6,
        run.path().display(),
    );
    if splits.ignored_files > 0 {
        text += &format!("\nnote   {} files are not images and were ignored", splits.ignored_files);
    }
    text
}

/// The split of this name; without a name, the test split, else the validation split.
pub fn choose(splits: &Splits, name: Option<&str>) -> Result<(&'static str, Arc<dyn Dataset>)> {
    if splits.stream.is_some() && name == Some("train") {
        anyhow::bail!("--split train: this run streams it; give some of its shards by --data to have them indexed");
    }
    let test = splits.test.clone().map(|dataset| ("test", dataset));
    let validation = splits.validation.clone().map(|dataset| ("validation", dataset));
    let found = match name {
        None => test.or(validation),
        Some("test") => test,
        Some("validation") => validation,
        Some("train") => Some(("train", splits.train.clone())),
        Some(other) => anyhow::bail!("--split {other}: expected train, validation, test, or held_out of a fold"),
    };
    found.with_context(|| match name {
        Some(name) => format!("the dataset has no {name} split; --split train is always there"),
        None => {
            "the dataset has neither a test nor a validation split; --split train evaluates what was trained on".into()
        }
    })
}

/// A run directory as an argument.
#[derive(clap::Args)]
pub struct RunArg {
    /// A directory that `tallow train` or `tallow ensemble` made
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}
