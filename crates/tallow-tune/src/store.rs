//! The trials of a study in an SQLite file, which is up to date after each epoch.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{Error, Point, Result};

/// The state of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In training, or interrupted.
    Running,
    /// Waiting at a rung.
    Paused,
    /// Trained to the end.
    Done,
    /// Stopped by an error.
    Failed,
}

impl State {
    const ALL: [(State, &'static str); 4] =
        [(State::Running, "running"), (State::Paused, "paused"), (State::Done, "done"), (State::Failed, "failed")];

    /// The state's name in the file and in tables.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    fn of(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(State::Failed, |(state, _)| *state)
    }
}

/// A trial: a point of the space and its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The trial's number, from 0.
    pub id: u64,
    /// The trial's Hyperband bracket.
    pub bracket: u64,
    /// The trial's point of the space.
    pub point: Point,
    /// The epoch up to which the trial was last told to train.
    pub until: u64,
    /// The trial's state.
    pub state: State,
    /// The error of a failed trial.
    pub reason: Option<String>,
    /// The score after each completed epoch, as (epoch, score); higher is better.
    pub results: Vec<(u64, f64)>,
}

impl Trial {
    /// A new trial, in training.
    pub fn new(id: u64, bracket: u64, point: Point, until: u64) -> Self {
        Self { id, bracket, point, until, state: State::Running, reason: None, results: Vec::new() }
    }

    /// The number of completed epochs.
    pub fn epochs(&self) -> u64 {
        self.results.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// The last score; negative infinity before the first score and for a failed trial.
    pub fn score(&self) -> f64 {
        match (self.state, self.results.last()) {
            (State::Failed, _) | (_, None) => f64::NEG_INFINITY,
            (_, Some((_, score))) => *score,
        }
    }

    /// The score after `epochs` epochs.
    pub fn score_at(&self, epochs: u64) -> Option<f64> {
        self.results.iter().find(|(epoch, _)| *epoch == epochs).map(|(_, score)| *score)
    }
}

/// The SQLite file of a study.
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS study (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS trials (
        id INTEGER PRIMARY KEY, bracket INTEGER NOT NULL, point TEXT NOT NULL, until INTEGER NOT NULL,
        state TEXT NOT NULL, reason TEXT);
    CREATE TABLE IF NOT EXISTS results (
        trial INTEGER NOT NULL REFERENCES trials (id), epoch INTEGER NOT NULL, score REAL NOT NULL,
        PRIMARY KEY (trial, epoch));
";

impl Store {
    /// Opens or creates the file of a study. `identity` holds what must not change between sessions, by name, such as
    /// the text of the space.
    ///
    /// # Errors
    /// The file is not a study, or belongs to another study.
    pub fn open(path: &Path, identity: &[(&'static str, String)]) -> Result<Self> {
        let fail = |source| Error::Store { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(fail)?;
        connection.execute_batch(SCHEMA).map_err(fail)?;
        for (key, value) in identity {
            let found: Option<String> = connection
                .query_row("SELECT value FROM study WHERE key = ?1", [key], |row| row.get(0))
                .optional()
                .map_err(fail)?;
            match found {
                Some(found) if found != *value => {
                    return Err(Error::OtherStudy { path: path.to_owned(), what: key });
                }
                Some(_) => {}
                None => {
                    let insert = "INSERT INTO study (key, value) VALUES (?1, ?2)";
                    connection.execute(insert, [*key, value.as_str()]).map_err(fail)?;
                }
            }
        }
        Ok(Self { path: path.to_owned(), connection })
    }

    fn fail(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Store { path: path.clone(), source }
    }

    /// All trials, by number.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn trials(&self) -> Result<Vec<Trial>> {
        let fail = self.fail();
        let mut results = self
            .connection
            .prepare("SELECT epoch, score FROM results WHERE trial = ?1 ORDER BY epoch")
            .map_err(&fail)?;
        let mut rows = self
            .connection
            .prepare("SELECT id, bracket, point, until, state, reason FROM trials ORDER BY id")
            .map_err(&fail)?;
        let mut trials: Vec<Trial> = rows
            .query_map([], |row| {
                let numbers: String = row.get(2)?;
                Ok(Trial {
                    id: row.get(0)?,
                    bracket: row.get(1)?,
                    point: Point(numbers.split(' ').filter_map(|number| number.parse().ok()).collect()),
                    until: row.get(3)?,
                    state: State::of(&row.get::<_, String>(4)?),
                    reason: row.get(5)?,
                    results: Vec::new(),
                })
            })
            .and_then(Iterator::collect)
            .map_err(&fail)?;
        for trial in &mut trials {
            let found = results.query_map([trial.id], |row| Ok((row.get(0)?, row.get(1)?)));
            trial.results = found.and_then(Iterator::collect).map_err(&fail)?;
        }
        Ok(trials)
    }

    /// Adds a trial.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, trial: &Trial) -> Result<()> {
        // Rust prints the shortest text that parses to the same number.
        let point: Vec<String> = trial.point.0.iter().map(f64::to_string).collect();
        let insert = "INSERT INTO trials (id, bracket, point, until, state, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = params![trial.id, trial.bracket, point.join(" "), trial.until, trial.state.name(), trial.reason];
        self.connection.execute(insert, row).map_err(self.fail())?;
        Ok(())
    }

    /// Records the state of a trial; `reason` is the error of a failed one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_state(&self, trial: u64, state: State, reason: Option<&str>) -> Result<()> {
        let update = "UPDATE trials SET state = ?2, reason = ?3 WHERE id = ?1";
        self.connection.execute(update, params![trial, state.name(), reason]).map_err(self.fail())?;
        Ok(())
    }

    /// Records that a trial trains up to epoch `until`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_running(&self, trial: u64, until: u64) -> Result<()> {
        let update = "UPDATE trials SET state = 'running', until = ?2 WHERE id = ?1";
        self.connection.execute(update, params![trial, until]).map_err(self.fail())?;
        Ok(())
    }

    /// Records a trial's score after an epoch.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_result(&self, trial: u64, epoch: u64, score: f64) -> Result<()> {
        let insert = "INSERT OR REPLACE INTO results (trial, epoch, score) VALUES (?1, ?2, ?3)";
        self.connection.execute(insert, params![trial, epoch, score]).map_err(self.fail())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_read_back_and_another_study_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("study.sqlite");
        let identity = [("space", "a".to_owned())];
        let store = Store::open(&path, &identity)?;
        let mut trial = Trial::new(0, 1, Point(vec![0.1, 2.0, 1.0 / 3.0]), 9);
        store.add(&trial)?;
        store.add_result(0, 1, 0.5)?;
        store.add_result(0, 2, 0.625)?;
        store.set_state(0, State::Failed, Some("NaN"))?;
        drop(store);
        trial.results = vec![(1, 0.5), (2, 0.625)];
        (trial.state, trial.reason) = (State::Failed, Some("NaN".to_owned()));
        assert_eq!(Store::open(&path, &identity)?.trials()?, [trial]);
        let other = Store::open(&path, &[("space", "b".to_owned())]);
        assert!(matches!(other, Err(Error::OtherStudy { what: "space", .. })));
        std::fs::write(&path, "not a database, by any means, though it is long enough").expect("written");
        assert!(matches!(Store::open(&path, &identity), Err(Error::Store { .. })));
        Ok(())
    }
}
