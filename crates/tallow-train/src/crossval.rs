//! Cross-validation: a run for every fold of the training split, and their out-of-fold predictions.
//!
//! Each fold is a run directory, `OUT/fold-0`, `OUT/fold-1`, …. The samples that a fold holds out are evaluated after its last
//! epoch alone, and choose nothing. `OUT` itself gets `config.toml`, `folds.csv`, `oof.csv` and `crossval.json`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tallow_data::{FoldOptions, OpenOptions, Splits, cross_validation_folds, folds_and_repeats, folds_csv};
use tallow_infer::{Measured, Measurement, Predictor, TrainedRun, predictions_csv};
use tallow_metrics::{AcrossFolds, Evaluation};
use tallow_run::{RunDir, RunLock, write_atomic};

use crate::train_run::REPORT;
use crate::{Error, FitOptions, OutOfFold, Result, RunConfig, Setup, TrainedOutcome, config, setup_on, train_run};

/// The config of all folds.
pub const CONFIG: &str = "config.toml";
/// The fold of each sample.
pub const FOLDS: &str = "folds.csv";
/// The out-of-fold predictions.
pub const OUT_OF_FOLD: &str = "oof.csv";
/// The report.
pub const CROSSVAL: &str = "crossval.json";

/// A cross-validation to run, or to continue.
pub struct CrossValidation<'a> {
    /// The configuration of every fold.
    pub config: &'a RunConfig,
    /// The number of folds.
    pub folds: usize,
    /// The number of divisions of the data into folds.
    pub repeats: usize,
    /// The folder.
    pub out: &'a Path,
    /// Whether the folder has folds to continue.
    pub resume: bool,
}

/// A report of the progress of a cross-validation.
pub enum Progress<'a> {
    /// The training of a fold begins.
    Begins {
        /// The fold, counted from 0.
        fold: usize,
        /// The number of folds, repeats included.
        folds: usize,
        /// The samples that it holds out.
        held_out: usize,
        /// Its setup.
        setup: &'a Setup,
        /// Its run directory.
        dir: &'a RunDir,
    },
    /// A fold is trained and evaluated.
    Evaluated {
        /// The fold, counted from 0.
        fold: usize,
        /// The number of folds, repeats included.
        folds: usize,
        /// The evaluation of the samples that it holds out.
        measured: &'a Measured,
    },
}

/// The content of `crossval.json`.
#[derive(Debug, Serialize)]
pub struct CrossValidationReport {
    /// The dataset.
    pub data: String,
    /// The architecture.
    pub model: String,
    /// The number of folds.
    pub folds: usize,
    /// The number of divisions into folds.
    pub repeats: usize,
    /// The seed.
    pub seed: u64,
    /// The column of the groups that are held out whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_column: Option<String>,
    /// Seconds of training, all folds together.
    pub train_s: f64,
    /// Each metric over the folds.
    #[serde(flatten)]
    pub metrics: AcrossFolds,
    /// The evaluation of all held-out samples together.
    pub out_of_fold: Evaluation,
    /// The samples that no fold could read.
    pub missing: Vec<String>,
}

/// Trains the folds that are missing, and writes `oof.csv` and `crossval.json`. `options` make the options of each fold's
/// training.
///
/// # Errors
/// A config that cross-validation does not work with; a folder that is not empty, or has other folds; an error of a fold;
/// [`Error::FoldInterrupted`].
pub fn cross_validate<'a>(
    job: &CrossValidation<'_>,
    options: impl Fn() -> FitOptions<'a>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<CrossValidationReport> {
    let CrossValidation { config, folds: count, repeats, out, resume } = *job;
    check_config(config)?;
    let open_options = config.open_options(None);
    let whole = OpenOptions { validation_fraction: 0.0, ..open_options.clone() };
    let whole = Splits { test: None, ..tallow_data::open(&config.data.spec, &whole)? };
    let dataset = whole.train.clone();
    let folds = cross_validation_folds(dataset.as_ref(), count, repeats, &open_options)?;
    let membership = folds_csv(dataset.as_ref(), &folds, count)?;
    match resume {
        true => check_folder(out, config, &membership)?,
        false => RunDir::check_free(out)?,
    }
    // A new folder is made and locked once the first setup has checked the config.
    let mut lock = if resume { Some(RunLock::take(out)?) } else { None };

    let mut out_of_fold = OutOfFold::new(dataset.len(), dataset.class_names().len());
    let (mut evaluations, mut train_s, mut trained) = (Vec::new(), 0.0, 0);
    for (index, held_out) in folds.iter().enumerate() {
        let fold = Some(FoldOptions { count, index });
        let (splits, samples) = tallow_data::split(whole.clone(), &OpenOptions { fold, ..open_options.clone() })?;
        let samples = samples.ok_or_else(|| Error::Mismatch(format!("fold {index} holds no samples out")))?;
        trained += splits.train.len();
        let path = out.join(format!("fold-{index}"));
        let (run, seconds) = match RunDir::open(&path) {
            Ok(dir) if dir.path().join(REPORT).is_file() => {
                let seconds = dir.read_json::<Trained>(REPORT)?.train_s;
                (TrainedRun::open(&path)?, seconds)
            }
            opened => {
                let opened = opened.is_ok().then(|| RunDir::open_to_write(&path)).transpose()?;
                let mut config = opened.as_ref().map_or(Ok(config.clone()), |dir| RunConfig::of_run(dir, &[]))?;
                config.data.fold = fold;
                let setup = setup_on(config, splits, opened.as_ref())?;
                if lock.is_none() {
                    fs::create_dir_all(out).map_err(tallow_run::Error::io(out, "create this folder"))?;
                    lock = Some(RunLock::take(out)?);
                    RunDir::check_free(out)?; // another process may have come first
                }
                if index == 0 {
                    write_folder(out, job.config, &membership)?;
                }
                let dir = match opened {
                    Some(dir) => dir,
                    None => begin(&setup, &path)?,
                };
                let held_out = held_out.len();
                progress(Progress::Begins { fold: index, folds: folds.len(), held_out, setup: &setup, dir: &dir });
                let TrainedOutcome { report, run, .. } = train_run(setup, dir, options())?;
                if report.interrupted {
                    return Err(Error::FoldInterrupted { path: out.to_owned(), fold: index + 1 });
                }
                (run, report.train_s)
            }
        };
        train_s += seconds;
        let measured = Predictor::from(run).evaluate(&Measurement::main("held_out"), samples)?;
        progress(Progress::Evaluated { fold: index, folds: folds.len(), measured: &measured });
        out_of_fold.add(dataset.as_ref(), held_out, &measured.predictions)?;
        evaluations.push((measured.evaluation, measured.probabilities));
    }

    let mean = out_of_fold.mean();
    let report = CrossValidationReport {
        data: config.data.spec.clone(),
        model: config.model.name.clone(),
        folds: count,
        repeats,
        seed: config.train.seed,
        group_column: config.data.group_column.clone(),
        train_s,
        metrics: AcrossFolds::of(&evaluations, trained)?,
        out_of_fold: mean.evaluate(dataset.as_ref())?,
        missing: mean.missing.iter().map(|index| dataset.id(*index)).collect(),
    };
    let ids: Vec<String> = mean.indices.iter().map(|index| dataset.id(*index)).collect();
    let names = mean.names(dataset.as_ref())?;
    write_atomic(&out.join(OUT_OF_FOLD), &predictions_csv(&ids, &names, &mean.probabilities, dataset.class_names())?)?;
    RunDir::at(out).write_json(CROSSVAL, &report)?;
    Ok(report)
}

/// The number of folds and repeats in a folder.
///
/// # Errors
/// [`Error::NoFolds`].
pub fn folds_of(out: &Path) -> Result<(usize, usize)> {
    let kept = fs::read(out.join(FOLDS)).map_err(|_| Error::NoFolds { path: out.to_owned() })?;
    folds_and_repeats(&kept).ok_or_else(|| Error::NoFolds { path: out.to_owned() })
}

/// The config of the folds in a folder.
///
/// # Errors
/// The errors of [`config::read`].
pub fn config_of(out: &Path) -> Result<RunConfig> {
    config::read(&out.join(CONFIG), &[])
}

/// The part of a fold's report that is read.
#[derive(Deserialize)]
struct Trained {
    train_s: f64,
}

fn check_config(config: &RunConfig) -> Result<()> {
    if config.data.fold.is_some() {
        return Err(Error::NotInCrossValidation {
            key: "data.fold",
            reason: "cross-validation sets it for every fold",
        });
    }
    if config.data.stream {
        let reason = "folds divide samples that have an index, and streamed data have none";
        return Err(Error::NotInCrossValidation { key: "data.stream", reason });
    }
    Ok(())
}

/// Fails unless the folds in a folder are those of this config and these data.
fn check_folder(out: &Path, config: &RunConfig, membership: &[u8]) -> Result<()> {
    let path = out.join(FOLDS);
    let kept = fs::read(&path).map_err(|_| Error::NoFolds { path: out.to_owned() })?;
    if kept != membership {
        return Err(Error::OtherFolds { path });
    }
    match config_of(out)? == *config {
        true => Ok(()),
        false => Err(Error::OtherFoldConfig { path: out.join(CONFIG) }),
    }
}

fn write_folder(out: &Path, config: &RunConfig, membership: &[u8]) -> Result<()> {
    write_atomic(&out.join(CONFIG), config.to_toml()?.as_bytes())?;
    Ok(write_atomic(&out.join(FOLDS), membership)?)
}

/// Makes a fold's run directory; what a kill left of one is removed.
fn begin(setup: &Setup, path: &Path) -> Result<RunDir> {
    if path.is_dir() {
        fs::remove_dir_all(path).map_err(tallow_run::Error::io(path, "remove this folder"))?;
    }
    setup.create_dir(path)
}
