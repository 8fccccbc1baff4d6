//! One trial of a hyper-parameter search: a run of its own, compared on a validation split.

use std::path::Path;

use tallow_infer::find_pretrained;
use tallow_run::RunDir;

use crate::{Error, FitOptions, FitReport, Result, RunConfig, Setup, setup_on};

/// The fraction of the training samples that trials are compared on, where the data have no validation split.
const HELD_OUT: f64 = 0.1;

/// Fails if the pretrained weights that a config names cannot be found, or are of another architecture: a search checks this
/// before its first trial.
///
/// # Errors
/// The errors of [`find_pretrained`] and [`Pretrained::check`](tallow_export::Pretrained::check).
pub fn check_pretrained(config: &RunConfig) -> Result<()> {
    match &config.transfer.pretrained {
        Some(spec) => Ok(find_pretrained(spec)?.check(&config.model.name)?),
        None => Ok(()),
    }
}

/// The setup of a trial: as for any run, with a validation split held out where the data have none. `resume` is the directory
/// of a trial that continues.
///
/// # Errors
/// The errors of [`setup`](fn@crate::setup).
pub fn setup_trial(mut config: RunConfig, resume: Option<&RunDir>) -> Result<Setup> {
    let open = |config: &RunConfig| tallow_data::open(&config.data.spec, &config.open_options(None));
    let mut splits = open(&config)?;
    if splits.validation.is_none() {
        config.data.validation_fraction = HELD_OUT;
        splits = open(&config)?;
    }
    if splits.validation.is_none() {
        return Err(Error::NoValidationSplit { data: config.data.spec });
    }
    setup_on(config, splits, resume)
}

/// Trains a trial in the folder `path`, or continues it there with the config that it has; what a kill left without a
/// checkpoint is removed.
///
/// # Errors
/// The errors of [`setup_trial`] and [`fit`](fn@crate::fit).
pub fn train_trial(config: RunConfig, path: &Path, options: FitOptions<'_>) -> Result<FitReport> {
    let (setup, dir) = if RunDir::at(path).has_checkpoint() {
        let dir = RunDir::open_to_write(path)?;
        (setup_trial(RunConfig::of_run(&dir, &[])?, Some(&dir))?, dir)
    } else {
        let setup = setup_trial(config, None)?;
        if path.is_dir() {
            std::fs::remove_dir_all(path).map_err(tallow_run::Error::io(path, "remove this folder"))?;
        }
        let dir = setup.create_dir(path)?;
        (setup, dir)
    };
    setup.fit(&dir, FitOptions { picture: false, ..options })
}
