//! Code that several commands share: evaluation of a split, the headline of a run, the choice of a split.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tallow_augment::Preprocessing;
use tallow_data::{Dataset, Splits};
use tallow_infer::{Measured, Measurement, Predictor, TrainedRun};
use tallow_run::RunDir;
use tallow_train::Setup;

/// Warns of preprocessing that timm's fields of config.json cannot describe.
pub fn warn_of(preprocessing: &Preprocessing) {
    if !preprocessing.is_exact_in_timm() {
        eprintln!(
            "note: timm's fields of config.json describe this evaluation pipeline only approximately: programs that read them \
             prepare images differently; `tallow.preprocessing` in config.json has the exact ops"
        );
    }
}

/// Measures a split of a run or an ensemble, and lists the images that were left out.
pub fn evaluate(predictor: &Predictor, of: &Measurement<'_>, dataset: Arc<dyn Dataset>) -> Result<Measured> {
    let split = of.split;
    let measured = predictor.evaluate(of, dataset)?;
    let own = |what: &&str| of.data.is_none() && what.starts_with(&format!("{split},"));
    if let Some(what) = predictor.fitted_on().filter(own) {
        eprintln!("note: this ensemble was fitted on {what}: its scores on the {split} split are too optimistic");
    }
    list_skipped(&measured);
    Ok(measured)
}

/// Lists the images that could not be read.
pub fn list_skipped(measured: &Measured) {
    for id in &measured.predictions.skipped {
        eprintln!("skipped, cannot be read: {id}");
    }
}

/// The names of the files of an evaluation, to print behind their folder.
pub fn file_names(measured: &Measured) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    measured.files.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The summary of a split: its name, the number of images, loss and accuracy.
pub fn first_line(run: &TrainedRun, split: &str, dataset: Arc<dyn Dataset>) -> Result<String> {
    let evaluation = run.predictions(dataset)?.evaluate(run.classes())?.to_string();
    Ok(format!("{split}: {}", evaluation.lines().next().unwrap_or_default()))
}

/// The lines printed before training: data, model, run directory.
pub fn headline(setup: &Setup, dir: &RunDir) -> String {
    let (config, splits) = (setup.config(), &setup.splits);
    let count = |split: &Option<Arc<dyn Dataset>>, name| match split {
        Some(dataset) => format!(", {} {name}", dataset.len()),
        None => String::new(),
    };
    let (h, w, c) = setup.resolved.train.output_shape();
    let mut text = format!(
        "data   {}: {} training images{}{} in {} classes, {c}×{h}×{w}\nmodel  {}: {:.2} M parameters\nrun    {}",
        config.data.spec,
        splits.train_samples().unwrap_or_default(),
        count(&splits.validation, "validation"),
        count(&splits.test, "test"),
        splits.train.class_names().len(),
        config.model.name,
        setup.built.store.parameter_count() as f64 / 1e6,
        dir.path().display(),
    );
    for note in setup.resolved.notes.iter().chain(&splits.warnings()) {
        text += &format!("\nnote   {note}");
    }
    text
}

/// The split called `name`; without a name, the test split, else the validation split.
pub fn choose(splits: &Splits, name: Option<&str>) -> Result<(&'static str, Arc<dyn Dataset>)> {
    if splits.stream.is_some() && name == Some("train") {
        anyhow::bail!("--split train: this run streams its training split: give some of its shards by --data");
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
        Some(name) => format!("the dataset has no {name} split; every dataset has --split train"),
        None => {
            "the dataset has neither a test nor a validation split; --split train evaluates the training samples".into()
        }
    })
}

/// The directory that `--resume` names, or `--out` beside it; `None` without `--resume`.
pub fn resumed<'a>(resume: Option<&'a Option<PathBuf>>, out: Option<&'a PathBuf>) -> Result<Option<&'a PathBuf>> {
    match (resume, out) {
        (None, _) => Ok(None),
        (Some(Some(resume)), Some(out)) if resume != out => anyhow::bail!(
            "--resume {} and --out {}: a run continues where it is: give one folder",
            resume.display(),
            out.display()
        ),
        (Some(resume), out) => {
            Ok(Some(resume.as_ref().or(out).context("--resume needs the run: --resume DIR, or --out DIR beside it")?))
        }
    }
}

/// A run directory as an argument.
#[derive(clap::Args)]
pub struct RunArg {
    /// The directory of a run or an ensemble
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}
