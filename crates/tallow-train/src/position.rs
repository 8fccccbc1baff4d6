//! The position of a run in its training, and the checkpoint that holds it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tallow_optim::schedule::Plateau;
use tallow_optim::{Ema, Exact, Optimizer, WeightAverage};
use tallow_run::Checkpoint;
use tallow_run::checkpoint::{self, EMA, MODEL, OPTIMIZER};

use crate::{Network, Result};

/// The position of a run in its training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Complete epochs.
    pub epoch: u64,
    /// Complete batches of the current epoch.
    pub batch: u64,
    /// Optimiser steps of the whole run.
    pub step: u64,
    /// The best validation score so far; higher is better.
    pub best_score: Option<Exact>,
    /// Epochs since the best score.
    pub epochs_since_best: u64,
    /// Seconds of training, without evaluation.
    pub train_s: f64,
    /// Training images of the whole run.
    pub images: u64,
    /// The sums of the current epoch.
    pub running: Running,
    /// The state of a plateau schedule.
    #[serde(default)]
    pub plateau: Plateau,
}

/// Sums over the batches of an epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// Images.
    pub images: u64,
    /// The sum of the images' losses.
    pub loss: Exact,
    /// Images whose highest logit is that of their label.
    pub correct: u64,
    /// Images that could not be read and were left out.
    pub skipped: u64,
}

impl Position {
    /// Writes a checkpoint of this position. Without an optimiser it holds weights to evaluate, and training cannot resume
    /// from it.
    ///
    /// # Errors
    /// A folder that cannot be written; a full disk.
    pub fn save(
        &self,
        path: &Path,
        network: Network<'_>,
        average: Option<&Ema>,
        optimizer: Option<&dyn Optimizer>,
    ) -> Result<()> {
        let mut groups = vec![(MODEL, network.store.state_dict())];
        if let Some(average) = average {
            groups.push((EMA, average.state().to_vec()));
        }
        if let Some(optimizer) = optimizer {
            groups.push((OPTIMIZER, optimizer.state()?));
        }
        Ok(checkpoint::save(path, network.name, self, groups)?)
    }

    /// Restores model, optimiser and average from a checkpoint.
    ///
    /// # Errors
    /// A file that is not a checkpoint, or one of another model, optimiser or average.
    pub fn restore(
        path: &Path,
        network: Network<'_>,
        average: &mut WeightAverage,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::load(path)?;
        let position: Self = checkpoint.position()?;
        let does_not_fit = |error: tallow_optim::Error| checkpoint.does_not_fit(&error.to_string());
        checkpoint.restore_model(network.store)?;
        optimizer.load_state(&checkpoint.group(OPTIMIZER)).map_err(does_not_fit)?;
        if let Some(average) = average.begun_mut(position.epoch) {
            average.load_state(&checkpoint.group(EMA)).map_err(does_not_fit)?;
        }
        Ok(position)
    }
}
