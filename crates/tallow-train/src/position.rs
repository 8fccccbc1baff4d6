//! The position of a run in its training, and the checkpoint that holds it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tallow_data::Loader;
use tallow_optim::schedule::Plateau;
use tallow_optim::{Ema, Exact, Optimizer, WeightAverage};
use tallow_run::checkpoint::{self, EMA, MODEL, OPTIMIZER};
use tallow_run::{Checkpoint, RunDir};

use crate::{Error, Network, Result};

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
    /// The loss beside the best score: of epochs with equal scores, the one with the lowest loss is the best.
    #[serde(default)]
    pub best_loss: Option<Exact>,
    /// Epochs since the best score was reached first.
    pub epochs_since_best: u64,
    /// The learning rate of the last step.
    #[serde(default)]
    pub lr: Option<Exact>,
    /// Samples per batch of the current epoch, in which `batch` counts.
    #[serde(default)]
    pub batch_size: u64,
    /// Seconds of training, without evaluation. The run directory keeps them: they differ between equal runs.
    #[serde(default, skip_serializing)]
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

    /// Writes the checkpoint that training continues from, and keeps the one before it.
    ///
    /// # Errors
    /// A folder that cannot be written; a full disk.
    pub fn save_last(
        &self,
        dir: &RunDir,
        network: Network<'_>,
        average: Option<&Ema>,
        optimizer: &dyn Optimizer,
    ) -> Result<()> {
        dir.keep_previous()?;
        self.save(&dir.last(), network, average, Some(optimizer))?;
        Ok(dir.write_train_s(self.train_s)?)
    }

    /// Restores position, model, optimiser and average from the run's last checkpoint, or the one before it if the last is
    /// damaged or missing; then with the error of the last. `None` for a run that has none. Nothing is written.
    ///
    /// # Errors
    /// Damaged checkpoints, or one of another model, optimiser or average.
    pub fn restore(
        dir: &RunDir,
        network: Network<'_>,
        average: &mut WeightAverage,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Option<(Self, Option<tallow_run::Error>)>> {
        let Some((checkpoint, told)) = Checkpoint::load_to_resume(dir)? else { return Ok(None) };
        let mut position: Self = checkpoint.position()?;
        position.check().map_err(|reason| checkpoint.damaged(&reason))?;
        let does_not_fit = |error: tallow_optim::Error| checkpoint.does_not_fit(&error.to_string());
        checkpoint.restore_model(network.store)?;
        optimizer.load_state(&checkpoint.group(OPTIMIZER)).map_err(does_not_fit)?;
        if let Some(average) = average.begun_mut(position.epoch) {
            average.load_state(&checkpoint.group(EMA)).map_err(does_not_fit)?;
        }
        if position.train_s == 0.0 {
            position.train_s = dir.train_s();
        }
        Ok(Some((position, told)))
    }

    /// Notes the score and the loss of an epoch; returns whether it is the best so far. Of equal scores the lower loss is better,
    /// but does not count as an improvement for early stopping.
    pub fn observe(&mut self, score: f64, loss: f64) -> bool {
        let higher = self.best_score.is_none_or(|Exact(best)| score > best);
        let equal = self.best_score == Some(Exact(score));
        let better = higher || equal && self.best_loss.is_some_and(|Exact(best)| loss < best);
        self.epochs_since_best = if higher { 0 } else { self.epochs_since_best + 1 };
        if better {
            (self.best_score, self.best_loss) = (Some(Exact(score)), Some(Exact(loss)));
        }
        better
    }

    /// Checks the numbers against each other.
    fn check(&self) -> std::result::Result<(), String> {
        let Self { epoch, batch, step, images, epochs_since_best, running, plateau, .. } = self;
        let epochs = epoch.saturating_add(1);
        let checks = [
            (*epoch < MOST, "epoch", *epoch, MOST),
            (*images < MOST, "images", *images, MOST),
            (*batch <= running.images.saturating_add(running.skipped), "batch", *batch, running.images),
            (*step <= *images, "step", *step, *images),
            (*epochs_since_best <= epochs, "epochs_since_best", *epochs_since_best, epochs),
            (running.images <= *images, "running.images", running.images, *images),
            (running.correct <= running.images, "running.correct", running.correct, running.images),
            (running.skipped < MOST, "running.skipped", running.skipped, MOST),
            (plateau.bad_epochs <= epochs, "plateau.bad_epochs", plateau.bad_epochs, epochs),
            (u64::from(plateau.reductions) <= epochs, "plateau.reductions", plateau.reductions.into(), epochs),
        ];
        match checks.into_iter().find(|(valid, ..)| !valid) {
            Some((_, name, found, most)) => {
                Err(format!("its position: expected `{name}` of at most {most}, found {found}"))
            }
            None if !running.loss.0.is_finite() => {
                Err(format!("its position: expected a finite sum of losses, found {}", running.loss.0))
            }
            None => Ok(()),
        }
    }

    /// Moves to the batch of the current epoch at which as many samples have been read as before, in batches of `batch_size`.
    /// Returns how many samples of the epoch are read again because they do not fill batches of the new size.
    ///
    /// # Errors
    /// A position behind the end of the epoch of `loader`.
    pub fn enter(&mut self, loader: &Loader) -> Result<u64> {
        let (size, samples, batches) =
            (loader.config().batch_size as u64, loader.samples() as u64, loader.batches() as u64);
        let before = if self.batch_size == 0 { size } else { self.batch_size };
        let read = self.batch.saturating_mul(before);
        let mut again = 0;
        if before != size && self.batch > 0 {
            (self.batch, again) = if read < samples { (read / size, read % size) } else { (batches, 0) };
        }
        self.batch_size = size;
        // The last batch of an epoch may be incomplete.
        if self.batch > batches || read >= samples.saturating_add(before) {
            return Err(Error::Mismatch(format!(
                "the checkpoint is at sample {read} of an epoch of {samples}: do the data hold fewer samples than before?"
            )));
        }
        Ok(again)
    }
}

/// More epochs or images than any run has.
const MOST: u64 = 1 << 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_lower_loss_is_the_best() {
        let mut position = Position::default();
        // At an accuracy of 1 from the first epoch on, the loss goes on falling.
        for (score, loss, best, since) in [
            (1.0, 0.7, true, 0),
            (1.0, 0.3, true, 1),
            (1.0, 0.4, false, 2),
            (0.9, 0.1, false, 3),
            (1.0, f64::NAN, false, 4),
            (1.0, 0.2, true, 5),
        ] {
            assert_eq!((position.observe(score, loss), position.epochs_since_best), (best, since), "{score} {loss}");
        }
        assert_eq!(position.best_loss, Some(Exact(0.2)));
    }

    #[test]
    fn impossible_positions_are_refused() {
        let running = Running { images: 32, correct: 20, ..Default::default() };
        let valid = Position { epoch: 2, batch: 4, step: 20, images: 160, running, ..Default::default() };
        assert_eq!(valid.check(), Ok(()));
        let changed = |change: &dyn Fn(&mut Position)| {
            let mut position = valid.clone();
            change(&mut position);
            position.check().expect_err("an impossible position")
        };
        const HUGE: u64 = 1 << 63;
        for (name, change) in [
            ("`epoch`", &(|p: &mut Position| p.epoch = HUGE) as &dyn Fn(&mut Position)),
            ("`batch`", &|p| p.batch = HUGE),
            ("`step`", &|p| p.step = HUGE),
            ("`images`", &|p| p.images = HUGE),
            ("`epochs_since_best`", &|p| p.epochs_since_best = HUGE),
            ("`running.images`", &|p| p.running.images = 161),
            ("`running.correct`", &|p| p.running.correct = 33),
            ("`plateau.reductions`", &|p| p.plateau.reductions = u32::MAX),
            ("finite", &|p| p.running.loss = Exact(f64::NAN)),
        ] {
            let reason = changed(change);
            assert!(reason.contains(name), "{name}: {reason}");
        }
    }
}
