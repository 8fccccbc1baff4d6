//! Which trial trains on, and how far.
//!
//! Trials train to a *rung*, a number of epochs, and stop there; the best of a rung go on to the next. Because a run
//! that stops can be continued to the same bits, a trial loses nothing by waiting.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, State, Trial};

/// The `[pruner]` table of a space file, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum PrunerConfig {
    /// Every trial trains to its end.
    #[default]
    None,
    /// Asynchronous successive halving (Li et al. 2018, *A System for Massively Parallel Hyperparameter Tuning*,
    /// algorithm 2, with one worker).
    Asha(Rungs),
    /// ASHA in several brackets, each with a first rung of its own, to which trials are dealt in turn (Li et al. 2017).
    Hyperband(Rungs),
}

/// Where the rungs are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rungs {
    /// Epochs to the first rung, 1 or more.
    pub min_epochs: u64,
    /// Each rung is so many times the epochs of the one below, and takes the best of so many; 2 or more.
    pub reduction_factor: u64,
}

impl Default for Rungs {
    fn default() -> Self {
        Self { min_epochs: 1, reduction_factor: 3 }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Begin a new trial.
    Start {
        /// The bracket it belongs to.
        bracket: u64,
        /// Train it to so many epochs.
        until: u64,
    },
    /// Train a trial on.
    Continue {
        /// Its number.
        trial: u64,
        /// To so many epochs.
        until: u64,
    },
    /// Everything is done.
    Done,
}

impl PrunerConfig {
    /// Checks the settings against the length of a whole training.
    ///
    /// # Errors
    /// A setting out of range.
    pub fn validate(&self, max_epochs: u64) -> Result<()> {
        let (Self::Asha(rungs) | Self::Hyperband(rungs)) = self else { return Ok(()) };
        let fail = |key, expected: String, found: u64| Err(Error::Option { key, expected, found: found.to_string() });
        if rungs.reduction_factor < 2 {
            return fail("pruner.reduction_factor", "2 or more".to_owned(), rungs.reduction_factor);
        }
        if !(1..=max_epochs).contains(&rungs.min_epochs) {
            let expected = format!("1 to {max_epochs}, the epochs of a whole training");
            return fail("pruner.min_epochs", expected, rungs.min_epochs);
        }
        Ok(())
    }

    /// The epochs at which trials of a bracket are compared, the last one being `max_epochs`.
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

    /// What to do after the trials so far, of which there shall be `limit`. An interrupted trial goes on first.
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
        // Too few trials for a promotion everywhere: the best of all still trains to its end.
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

    /// The trial to promote in a bracket, from the highest rung where one is due.
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

    /// Runs a search whose trial number i has the quality `quality(i)` at every epoch; the epochs each trained.
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
    fn without_a_pruner_every_trial_ends() {
        assert_eq!(search(&PrunerConfig::None, 3, 5, |i| i as f64), [5, 5, 5]);
    }

    #[test]
    fn asha_promotes_a_third_of_each_rung() {
        let asha = PrunerConfig::Asha(Rungs { min_epochs: 1, reduction_factor: 3 });
        // Descending quality: the first trial is the best of each three.
        let epochs = search(&asha, 9, 9, |i| -(i as f64));
        assert_eq!(epochs, [9, 3, 3, 1, 1, 1, 1, 1, 1]);
        // Ascending quality: each third trial looks best when it comes, as the paper accepts; the best still ends.
        assert_eq!(search(&asha, 9, 9, |i| i as f64), [1, 1, 3, 3, 9, 9, 9, 9, 9]);
    }

    #[test]
    fn the_best_of_few_ends() {
        let asha = PrunerConfig::Asha(Rungs { min_epochs: 1, reduction_factor: 4 });
        assert_eq!(search(&asha, 3, 16, |i| if i == 1 { 1.0 } else { 0.0 }), [1, 16, 1]);
    }

    #[test]
    fn hyperbands_brackets_start_at_different_rungs() {
        let hyperband = PrunerConfig::Hyperband(Rungs { min_epochs: 1, reduction_factor: 3 });
        let epochs = search(&hyperband, 9, 9, |i| -(i as f64));
        // Trials 0, 3, 6 in the bracket from 1 epoch, 1, 4, 7 from 3, 2, 5, 8 from 9 at once.
        assert_eq!([epochs[2], epochs[5], epochs[8]], [9, 9, 9]);
        assert_eq!([epochs[1], epochs[4], epochs[7]], [9, 3, 3]);
        assert_eq!([epochs[0], epochs[3], epochs[6]], [3, 1, 1]);
    }

    #[test]
    fn settings_are_checked() {
        let asha = |min_epochs, reduction_factor| PrunerConfig::Asha(Rungs { min_epochs, reduction_factor });
        assert!(asha(1, 3).validate(9).is_ok());
        assert!(asha(1, 1).validate(9).is_err());
        assert!(asha(10, 3).validate(9).is_err());
    }
}
