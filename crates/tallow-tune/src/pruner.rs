//! Pruning: which trial to continue, and up to which epoch.
//!
//! A trial trains up to a *rung*, a number of epochs, and pauses. The best trials of a rung continue to the next one. A
//! resumed training equals an uninterrupted one bit for bit, so pausing costs nothing.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, State, Trial};

/// The `[pruner]` table of a space file; its `name` selects the variant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum PrunerConfig {
    /// No pruning: every trial trains to the end.
    #[default]
    None,
    /// Asynchronous successive halving (Li et al. 2018, *A System for Massively Parallel Hyperparameter Tuning*,
    /// algorithm 2, with one worker).
    Asha(Rungs),
    /// ASHA in several brackets that start at different rungs; trials are assigned to them in turn (Li et al. 2017).
    Hyperband(Rungs),
}

/// The positions of the rungs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rungs {
    /// The epoch of the first rung, 1 or more.
    pub min_epochs: u64,
    /// The ratio η of a rung's epochs to those of the one below, 2 or more; 1 / η of the trials of a rung continue.
    pub reduction_factor: u64,
}

impl Default for Rungs {
    fn default() -> Self {
        Self { min_epochs: 1, reduction_factor: 3 }
    }
}

/// The next job of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Start a new trial.
    Start {
        /// The trial's bracket.
        bracket: u64,
        /// The epoch up to which to train.
        until: u64,
    },
    /// Continue a trial.
    Continue {
        /// The trial's number.
        trial: u64,
        /// The epoch up to which to train.
        until: u64,
    },
    /// The search is complete.
    Done,
}

impl PrunerConfig {
    /// Checks the settings against the number of epochs of a complete training.
    ///
    /// # Errors
    /// A setting is out of range.
    pub fn validate(&self, max_epochs: u64) -> Result<()> {
        let (Self::Asha(rungs) | Self::Hyperband(rungs)) = self else { return Ok(()) };
        let fail = |key, expected: String, found: u64| Err(Error::Option { key, expected, found: found.to_string() });
        if rungs.reduction_factor < 2 {
            return fail("pruner.reduction_factor", "2 or more".to_owned(), rungs.reduction_factor);
        }
        if !(1..=max_epochs).contains(&rungs.min_epochs) {
            let expected = format!("1 to {max_epochs}, the value of train.epochs");
            return fail("pruner.min_epochs", expected, rungs.min_epochs);
        }
        Ok(())
    }

    /// The epochs at which the trials of a bracket are compared; the last one is `max_epochs`.
    fn rungs(&self, bracket: u64, max_epochs: u64) -> Vec<u64> {
        let (Self::Asha(rungs) | Self::Hyperband(rungs)) = self else { return vec![max_epochs] };
        let below = std::iter::successors(Some(rungs.min_epochs), |epochs| epochs.checked_mul(rungs.reduction_factor));
        let mut all: Vec<u64> = below.take_while(|epochs| *epochs < max_epochs).collect();
        all.push(max_epochs);
        all.split_off((bracket as usize).min(all.len() - 1))
    }

    fn brackets(&self, max_epochs: u64) -> u64 {
        match self {
            Self::Hyperband(_) => self.rungs(0, max_epochs).len() as u64,
            _ => 1,
        }
    }

    fn factor(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Asha(rungs) | Self::Hyperband(rungs) => rungs.reduction_factor as usize,
        }
    }

    /// The next job after the trials so far; `limit` is the maximum number of trials. An interrupted trial continues
    /// first.
    pub fn next(&self, trials: &[Trial], limit: u64, max_epochs: u64) -> Job {
        let brackets = self.brackets(max_epochs);
        if let Some(trial) = trials.iter().find(|trial| trial.state == State::Running) {
            return Job::Continue { trial: trial.id, until: trial.until };
        }
        for bracket in 0..brackets {
            if let Some(job) = self.promotion(trials, bracket, max_epochs) {
                return job;
            }
        }
        let started = trials.len() as u64;
        if started < limit {
            let bracket = started % brackets;
            return Job::Start { bracket, until: self.rungs(bracket, max_epochs)[0] };
        }
        // If too few trials reached a rung for a promotion, the best trial still trains to the end.
        let waiting = trials.iter().filter(|trial| trial.state == State::Paused);
        let finished = trials.iter().any(|trial| trial.state == State::Done);
        let farthest = waiting.max_by(|a, b| {
            (a.epochs(), a.score()).partial_cmp(&(b.epochs(), b.score())).unwrap_or(std::cmp::Ordering::Equal)
        });
        match farthest {
            Some(trial) if !finished => Job::Continue { trial: trial.id, until: max_epochs },
            _ => Job::Done,
        }
    }

    /// The promotion that is due in a bracket, at the highest rung first.
    fn promotion(&self, trials: &[Trial], bracket: u64, max_epochs: u64) -> Option<Job> {
        let rungs = self.rungs(bracket, max_epochs);
        for pair in rungs.windows(2).rev() {
            let (rung, until) = (pair[0], pair[1]);
            let mut reached: Vec<(&Trial, f64)> = trials
                .iter()
                .filter(|trial| trial.bracket == bracket)
                .filter_map(|trial| Some((trial, trial.score_at(rung)?)))
                .collect();
            reached.sort_by(|a, b| b.1.total_cmp(&a.1));
            let best = &reached[..reached.len() / self.factor()];
            let due = best.iter().find(|(trial, _)| trial.state == State::Paused && trial.epochs() == rung);
            if let Some((trial, _)) = due {
                return Some(Job::Continue { trial: trial.id, until });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Point;

    /// Runs a search in which trial i has the score `quality(i)` at every epoch; returns the epochs of each trial.
    fn search(pruner: &PrunerConfig, limit: u64, max: u64, quality: impl Fn(u64) -> f64) -> Vec<u64> {
        let mut trials: Vec<Trial> = Vec::new();
        loop {
            let (id, until) = match pruner.next(&trials, limit, max) {
                Job::Start { bracket, until } => {
                    let id = trials.len() as u64;
                    trials.push(Trial::new(id, bracket, Point(vec![0.0]), until));
                    (id, until)
                }
                Job::Continue { trial, until } => (trial, until),
                Job::Done => return trials.iter().map(Trial::epochs).collect(),
            };
            let trial = &mut trials[id as usize];
            for epoch in trial.epochs() + 1..=until {
                trial.results.push((epoch, quality(id)));
            }
            trial.state = if until == max { State::Done } else { State::Paused };
        }
    }

    #[test]
    fn without_a_pruner_every_trial_trains_to_the_end() {
        assert_eq!(search(&PrunerConfig::None, 3, 5, |i| i as f64), [5, 5, 5]);
    }

    #[test]
    fn asha_promotes_a_third_of_each_rung() {
        let asha = PrunerConfig::Asha(Rungs { min_epochs: 1, reduction_factor: 3 });
        // Descending quality: the first trial is the best of each three.
        let epochs = search(&asha, 9, 9, |i| -(i as f64));
        assert_eq!(epochs, [9, 3, 3, 1, 1, 1, 1, 1, 1]);
        // Ascending quality: each third trial is the best when it comes, as the paper accepts; the best trial still
        // ends.
        assert_eq!(search(&asha, 9, 9, |i| i as f64), [1, 1, 3, 3, 9, 9, 9, 9, 9]);
    }

    #[test]
    fn the_best_of_few_trials_trains_to_the_end() {
        let asha = PrunerConfig::Asha(Rungs { min_epochs: 1, reduction_factor: 4 });
        assert_eq!(search(&asha, 3, 16, |i| if i == 1 { 1.0 } else { 0.0 }), [1, 16, 1]);
    }

    #[test]
    fn hyperband_brackets_start_at_different_rungs() {
        let hyperband = PrunerConfig::Hyperband(Rungs { min_epochs: 1, reduction_factor: 3 });
        let epochs = search(&hyperband, 9, 9, |i| -(i as f64));
        // Trials 0, 3, 6 in the bracket from 1 epoch, 1, 4, 7 from 3, 2, 5, 8 from 9 at once.
        assert_eq!([epochs[2], epochs[5], epochs[8]], [9, 9, 9]);
        assert_eq!([epochs[1], epochs[4], epochs[7]], [9, 3, 3]);
        assert_eq!([epochs[0], epochs[3], epochs[6]], [3, 1, 1]);
    }

    #[test]
    fn invalid_settings_are_errors() {
        let asha = |min_epochs, reduction_factor| PrunerConfig::Asha(Rungs { min_epochs, reduction_factor });
        assert!(asha(1, 3).validate(9).is_ok());
        assert!(asha(1, 1).validate(9).is_err());
        assert!(asha(10, 3).validate(9).is_err());
    }
}
