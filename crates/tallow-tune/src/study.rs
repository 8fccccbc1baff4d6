//! A search: the sampler and the pruner over the trials so far.

use serde::{Deserialize, Serialize};

use crate::sampler::Observation;
use crate::{Error, Job, Method, Point, PrunerConfig, Result, Space, State, Store, Trial};

/// The `[study]` table of a space file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudyConfig {
    /// The sampler.
    pub method: Method,
    /// The maximum number of trials, 1 or more.
    pub trials: u64,
    /// The number of values that grid search takes from each range of real numbers.
    pub grid_points: usize,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl Default for StudyConfig {
    fn default() -> Self {
        Self { method: Method::Tpe, trials: 20, grid_points: 3, seed: 0 }
    }
}

/// The trial to train next.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// The trial with its scores so far.
    pub trial: Trial,
    /// The epoch up to which to train it.
    pub until: u64,
}

/// A search over a space, whose trials are kept in a store.
pub struct Study {
    space: Space,
    config: StudyConfig,
    pruner: PrunerConfig,
    max_epochs: u64,
    store: Store,
}

impl Study {
    /// A search in which a complete training takes `max_epochs` epochs.
    ///
    /// # Errors
    /// A setting is out of range.
    pub fn new(space: Space, config: StudyConfig, pruner: PrunerConfig, max_epochs: u64, store: Store) -> Result<Self> {
        if config.trials == 0 {
            return Err(Error::Option { key: "study.trials", expected: "1 or more".into(), found: "0".into() });
        }
        pruner.validate(max_epochs)?;
        Ok(Self { space, config, pruner, max_epochs, store })
    }

    /// The search space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// All trials so far.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trials(&self) -> Result<Vec<Trial>> {
        self.store.trials()
    }

    /// The trial to train next, which is recorded if it is new; `None` when the search is over.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn next(&self) -> Result<Option<Next>> {
        let trials = self.store.trials()?;
        match self.pruner.next(&trials, self.config.trials, self.max_epochs) {
            Job::Done => Ok(None),
            Job::Continue { trial, until } => {
                self.store.set_running(trial, until)?;
                let trial = trials.into_iter().find(|known| known.id == trial);
                Ok(trial.map(|trial| Next { trial, until }))
            }
            Job::Start { bracket, until } => {
                let id = trials.len() as u64;
                let Some(point) = self.suggest(&trials, id) else { return self.without_new(&trials) };
                let trial = Trial::new(id, bracket, point, until);
                self.store.add(&trial)?;
                Ok(Some(Next { trial, until }))
            }
        }
    }

    /// The next trial when the grid has no more points: no new trial begins, but paused ones may continue.
    fn without_new(&self, trials: &[Trial]) -> Result<Option<Next>> {
        match self.pruner.next(trials, trials.len() as u64, self.max_epochs) {
            Job::Continue { trial, until } => {
                self.store.set_running(trial, until)?;
                let trial = trials.iter().find(|known| known.id == trial).cloned();
                Ok(trial.map(|trial| Next { trial, until }))
            }
            _ => Ok(None),
        }
    }

    /// The next point. With rungs, trials are compared at the highest epoch that more trials than parameters reached,
    /// as in BOHB (Falkner et al. 2018). Failed trials have the worst score.
    fn suggest(&self, trials: &[Trial], id: u64) -> Option<Point> {
        let mut epochs: Vec<u64> = trials.iter().flat_map(|trial| trial.results.iter().map(|(e, _)| *e)).collect();
        epochs.sort_unstable();
        epochs.dedup();
        let at = |epochs: u64| -> Vec<Observation> {
            let score = |trial: &Trial| match trial.state {
                State::Failed => Some(f64::NEG_INFINITY),
                _ => trial.score_at(epochs),
            };
            let seen = |trial: &Trial| Some(Observation { point: trial.point.clone(), score: score(trial)? });
            trials.iter().filter_map(seen).collect()
        };
        let enough = |seen: &Vec<Observation>| seen.len() > self.space.len() + 1;
        let history = epochs.iter().rev().map(|epochs| at(*epochs)).find(enough);
        let history = history.or_else(|| epochs.first().map(|epochs| at(*epochs))).unwrap_or_default();
        self.config.method.suggest(&self.space, &history, self.config.seed, id, self.config.grid_points)
    }

    /// Records a trial's score after an epoch.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn result(&self, trial: u64, epoch: u64, score: f64) -> Result<()> {
        self.store.add_result(trial, epoch, score)
    }

    /// Records that a trial reached `epochs`: it waits at a rung, or is done.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn reached(&self, trial: u64, epochs: u64) -> Result<()> {
        let state = if epochs >= self.max_epochs { State::Done } else { State::Paused };
        self.store.set_state(trial, state, None)
    }

    /// Records that a trial ended before its last epoch, by early stopping.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn ended(&self, trial: u64) -> Result<()> {
        self.store.set_state(trial, State::Done, None)
    }

    /// Records that training failed, with the error.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn failed(&self, trial: u64, reason: &str) -> Result<()> {
        self.store.set_state(trial, State::Failed, Some(reason))
    }

    /// The best trial: the one with the highest score among those that are done, or else among those with the most
    /// epochs.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn best(&self) -> Result<Option<Trial>> {
        let rank = |trial: &Trial| (trial.state == State::Done, trial.epochs(), trial.score());
        let mut trials: Vec<Trial> =
            self.store.trials()?.into_iter().filter(|trial| trial.score().is_finite()).collect();
        trials.sort_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(if a.0 { a.2.total_cmp(&b.2) } else { a.1.cmp(&b.1).then(a.2.total_cmp(&b.2)) })
        });
        Ok(trials.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(folder: &std::path::Path, pruner: PrunerConfig) -> Result<Study> {
        let space = Space::from_toml(&"a = { low = 0.0, high = 1.0 }".parse().expect("TOML"))?;
        let store = Store::open(&folder.join("study.sqlite"), &[])?;
        let config = StudyConfig { method: Method::Random, trials: 9, ..StudyConfig::default() };
        Study::new(space, config, pruner, 9, store)
    }

    /// Trains the next trials of `study`, at most `steps` jobs; the objective is the coordinate.
    fn go(study: &Study, steps: usize) -> Result<()> {
        for _ in 0..steps {
            let Some(next) = study.next()? else { return Ok(()) };
            for epoch in next.trial.epochs() + 1..=next.until {
                study.result(next.trial.id, epoch, next.trial.point.0[0])?;
            }
            study.reached(next.trial.id, next.until)?;
        }
        Ok(())
    }

    #[test]
    fn a_killed_study_resumes_as_if_uninterrupted() -> Result<()> {
        let asha = || PrunerConfig::Asha(crate::pruner::Rungs::default());
        let (whole, cut) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let through = study(whole.path(), asha())?;
        go(&through, 1000)?;
        for _ in 0..20 {
            let part = study(cut.path(), asha())?;
            go(&part, 1)?;
            // The study is killed in the middle of a trial, after one epoch.
            if let Some(next) = part.next()? {
                study(cut.path(), asha())?.result(next.trial.id, next.trial.epochs() + 1, next.trial.point.0[0])?;
            }
        }
        let resumed = study(cut.path(), asha())?;
        go(&resumed, 1000)?;
        assert_eq!(resumed.trials()?, through.trials()?);
        let best = through.best()?.expect("a trial");
        let highest = through.trials()?.iter().map(|t| t.point.0[0]).fold(0.0, f64::max);
        assert_eq!((best.point.0[0], best.state), (highest, State::Done));
        Ok(())
    }
}
