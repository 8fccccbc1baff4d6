//! The inputs and the result of the training loop.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use image::DynamicImage;
use serde::Serialize;
use tallow_data::Loader;
use tallow_metrics::Evaluation;
use tallow_nn::ParamStore;
use tallow_optim::{Ema, Loss, Optimizer};
use tallow_run::RunDir;
use tallow_run::checkpoint::load_weights;
use tallow_run::log::summary_csv::Row;

use crate::position::Position;
use crate::{Change, Network, Result, RunConfig};

/// Everything that the loop needs.
pub struct Training<'a> {
    /// The complete config.
    pub config: &'a RunConfig,
    /// The directory of logs and checkpoints. If it has a checkpoint, the run continues from it.
    pub dir: &'a RunDir,
    /// The model, which is trained in place. It need not be in the registry.
    pub network: Network<'a>,
    /// The loss to minimise.
    pub loss: &'a dyn Loss,
    /// The optimiser of the model's parameters.
    pub optimizer: &'a mut dyn Optimizer,
    /// Training samples.
    pub train: Split<'a>,
    /// The samples that are evaluated after each epoch.
    pub eval: Option<Split<'a>>,
    /// Whether `eval` is a validation split, by which the best epoch is chosen and early stopping decides. A test
    /// split is only reported.
    pub eval_chooses: bool,
    /// The settings that differ from those that the run was begun with; the run directory gets the config once the checkpoint
    /// has been found to fit.
    pub changes: &'a [Change],
    /// A picture for `augmented.png` and TensorBoard, such as [`augmented_grid`](crate::augmented_grid)'s.
    pub picture: Option<DynamicImage>,
    /// Set it to end the run after the current step, with a checkpoint to resume from.
    pub stop: &'a AtomicBool,
    /// Whether nothing is shown on the screen.
    pub quiet: bool,
    /// Called after each epoch with the number of complete epochs and the evaluation, if there was one. If it returns false,
    /// the run ends there as by `stop`, with a checkpoint to resume from.
    pub after_epoch: Option<AfterEpoch<'a>>,
}

/// Decides after each epoch whether training goes on.
pub type AfterEpoch<'a> = &'a mut dyn FnMut(u64, Option<&Evaluation>) -> bool;

/// A split and the loader of its batches.
#[derive(Clone, Copy)]
pub struct Split<'a> {
    /// Its name in logs: train, validation, test.
    pub name: &'a str,
    /// Its batches.
    pub loader: &'a Loader,
}

/// The result of a training run.
#[derive(Debug, Serialize)]
pub struct FitReport {
    /// Complete epochs, those before a resume included.
    pub epochs: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Seconds of training, without evaluation and checkpoints.
    pub train_s: f64,
    /// Training images per second of `train_s`.
    pub images_per_s: f64,
    /// The mean training loss of the last whole epoch.
    pub train_loss: f64,
    /// The training accuracy of the last whole epoch, in 0 to 1, measured while the weights changed.
    pub train_top1: f64,
    /// The name of the evaluated split and its last evaluation, if there was one.
    pub evaluation: Option<(String, Evaluation)>,
    /// Whether the run was asked to stop before its end.
    pub interrupted: bool,
    /// Whether the run ended because the validation metric no longer improved.
    pub stopped_early: bool,
    /// The weights to evaluate and to ship.
    #[serde(skip)]
    pub best: BestWeights,
    /// The rows of `summary.csv`, those before a resume included.
    #[serde(skip)]
    pub epochs_log: Vec<Row>,
}

impl FitReport {
    /// The report of a run that starts at `position`.
    pub(crate) fn at(position: &Position) -> Self {
        Self {
            epochs: position.epoch,
            steps: position.step,
            train_s: 0.0,
            images_per_s: 0.0,
            train_loss: f64::NAN,
            train_top1: f64::NAN,
            evaluation: None,
            interrupted: false,
            stopped_early: false,
            best: BestWeights::InMemory,
            epochs_log: Vec::new(),
        }
    }
}

/// The location of a run's best weights: those of the epoch that the validation split chose, else the last; averaged if the run
/// keeps an average.
#[derive(Debug, Default)]
pub enum BestWeights {
    /// The model holds them.
    #[default]
    InMemory,
    /// They are the moving average of the model's.
    Average(Box<Ema>),
    /// They are those of an earlier epoch, in a checkpoint.
    Checkpoint(PathBuf),
}

impl BestWeights {
    /// Gives the model that was trained its best weights.
    ///
    /// # Errors
    /// A checkpoint that cannot be read.
    pub fn load_into(self, store: &ParamStore) -> Result<()> {
        match self {
            Self::InMemory => Ok(()),
            Self::Average(average) => Ok(average.copy_to(store)?),
            Self::Checkpoint(path) => Ok(load_weights(&path, store)?),
        }
    }
}
