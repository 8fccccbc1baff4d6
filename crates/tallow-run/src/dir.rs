//! The run directory: the complete record of a run. It is written before the first step, and later programs read it.
//!
//! ```text
//! config.toml               the complete config: data, preprocessing, model, optimiser, schedule, seed
//! classes.json              class names in the order of the logits
//! environment.json          versions, machine, command line
//! split.csv                 the split of each sample: train or validation
//! log.txt                   one line per epoch, skipped images, interruptions
//! summary.csv               metrics, one row per epoch
//! events/                   TensorBoard's event files
//! checkpoints/last.safetensors    the state of training, to continue from
//! checkpoints/previous.safetensors   the one before it, in case the last is damaged
//! checkpoints/best.safetensors    the weights that were best on the validation split, if there is one
//! checkpoints/snapshot-1.safetensors …  the weights at the end of each cycle, with train.snapshots
//! checkpoints/clock.json    the seconds of training so far
//! .lock                     locked while a process writes the run
//! .incomplete               there as long as the folder is being written for the first time
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tallow_data::Splits;

use crate::environment::Environment;
use crate::lock::LOCK;
use crate::{Error, Result, RunLock, RunSections, write_atomic};

const CONFIG: &str = "config.toml";
const CLASSES: &str = "classes.json";
const ENVIRONMENT: &str = "environment.json";
const SPLIT: &str = "split.csv";
const INCOMPLETE: &str = ".incomplete";
const CLOCK: &str = "checkpoints/clock.json";
/// The beginning of a line of `config.toml` that tells of a change.
const HISTORY: &str = "# resumed ";
/// The file that makes a folder the directory of an ensemble.
pub const ENSEMBLE: &str = "ensemble.toml";

/// The directory of a run. Directories are equal if their paths are.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
    /// Held by the process that writes the run.
    lock: Option<RunLock>,
}

impl PartialEq for RunDir {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for RunDir {}

impl RunDir {
    /// Makes the folder of a new run, locks it, and writes `config.toml`, the classes and the environment.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written; [`Error::Locked`].
    pub fn create(path: impl Into<PathBuf>, config: &str, classes: &[String]) -> Result<Self> {
        let run = Self::begin(path, classes)?;
        run.write_config(config)?;
        run.complete()?;
        Ok(run)
    }

    /// Makes a folder, locks it, and writes the classes and the environment. Until
    /// [`complete`](Self::complete) is called it cannot be opened. What a process left that was killed before then is removed.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written; [`Error::Locked`].
    pub fn begin(path: impl Into<PathBuf>, classes: &[String]) -> Result<Self> {
        let mut run = Self { path: path.into(), lock: None };
        Self::check_free(&run.path)?;
        run.make_folder("")?;
        run.lock = Some(RunLock::take(&run.path)?);
        Self::check_free(&run.path)?; // another process may have come first
        run.clear()?;
        // Not written aside and renamed: an empty file is whole at once, and a process killed in between would leave the other.
        let marker = run.path.join(INCOMPLETE);
        fs::write(&marker, b"").map_err(Error::io(&marker, "write this file"))?;
        run.make_folder("checkpoints")?;
        run.write_json(CLASSES, &classes)?;
        run.write_json(ENVIRONMENT, &Environment::here())?;
        Ok(run)
    }

    /// Ends the writing of a folder that was begun: from now on it can be opened.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn complete(&self) -> Result<()> {
        let marker = self.path.join(INCOMPLETE);
        fs::remove_file(&marker).map_err(Error::io(marker, "remove this file"))
    }

    /// Fails if a folder is not empty. What a process left that was killed while it made the folder does not count.
    ///
    /// # Errors
    /// [`Error::RunExists`]; a folder that cannot be listed.
    pub fn check_free(path: &Path) -> Result<()> {
        let taken = names(path)?.iter().any(|name| name != LOCK) && !path.join(INCOMPLETE).is_file();
        if taken { Err(Error::RunExists { path: path.to_owned() }) } else { Ok(()) }
    }

    /// Removes all but the lock and the mark that says so.
    fn clear(&self) -> Result<()> {
        for name in names(&self.path)?.iter().filter(|name| *name != LOCK && *name != INCOMPLETE) {
            let path = self.path.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(Error::io(path, "remove this"))?;
        }
        Ok(())
    }

    fn make_folder(&self, name: &str) -> Result<()> {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "create this folder"))
    }

    /// The directory of a run or an ensemble, without a check.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), lock: None }
    }

    /// The directory of a run or an ensemble.
    ///
    /// # Errors
    /// [`Error::Incomplete`].
    pub fn at_complete(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if path.join(INCOMPLETE).is_file() {
            return Err(Error::Incomplete { path });
        }
        Ok(Self { path, lock: None })
    }

    /// Opens the folder of a run that was started before.
    ///
    /// # Errors
    /// [`Error::NotARun`]; [`Error::Incomplete`]; [`Error::AnEnsemble`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let Self { path, lock } = Self::at_complete(path)?;
        if Self::is_ensemble(&path) {
            return Err(Error::AnEnsemble { path });
        }
        for missing in [CONFIG, CLASSES] {
            if !path.join(missing).is_file() {
                return Err(Error::NotARun { path, missing });
            }
        }
        Ok(Self { path, lock })
    }

    /// Opens the folder of a run to continue it, and locks it.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open); [`Error::Locked`].
    pub fn open_to_write(path: impl Into<PathBuf>) -> Result<Self> {
        let run = Self::open(path)?;
        let lock = Some(RunLock::take(&run.path)?);
        Ok(Self { lock, ..run })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a folder is the directory of an ensemble.
    pub fn is_ensemble(path: &Path) -> bool {
        path.join(ENSEMBLE).is_file()
    }

    /// The run's config file.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The text of the run's config file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn config_text(&self) -> Result<String> {
        let path = self.config_path();
        fs::read_to_string(&path).map_err(Error::io(path, "read this config"))
    }

    /// The sections of the run's config that inference needs.
    ///
    /// # Errors
    /// A file that cannot be read, or whose sections are not what training writes.
    pub fn sections(&self) -> Result<RunSections> {
        let broken = |error: toml::de::Error| Error::Broken { path: self.config_path(), reason: error.to_string() };
        toml::from_str(&self.config_text()?).map_err(broken)
    }

    /// Writes the run's config.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        self.write(CONFIG, config.as_bytes())
    }

    /// Replaces the run's config, as resuming with other settings does. `change` says what is new; it is kept as a comment at the
    /// head of the file, below those of earlier changes.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn change_config(&self, config: &str, change: &str) -> Result<()> {
        let before = self.config_text()?;
        let mut text: String =
            before.lines().filter(|line| line.starts_with(HISTORY)).map(|line| format!("{line}\n")).collect();
        text += &format!("{HISTORY}{}\n{config}", change.replace('\n', " "));
        self.write_config(&text)
    }

    /// The class names in the order of the logits.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a list of names.
    pub fn classes(&self) -> Result<Vec<String>> {
        self.read_json(CLASSES)
    }

    /// The checkpoint that training continues from.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints/last.safetensors")
    }

    /// The checkpoint before [`last`](Self::last).
    pub fn previous(&self) -> PathBuf {
        self.path.join("checkpoints/previous.safetensors")
    }

    /// Whether there is a checkpoint to continue from.
    pub fn has_checkpoint(&self) -> bool {
        self.last().is_file() || self.previous().is_file()
    }

    /// Keeps the last checkpoint, which is about to be replaced, as the previous one.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn keep_previous(&self) -> Result<()> {
        let (last, previous) = (self.last(), self.previous());
        if !last.is_file() {
            return Ok(());
        }
        let partial = previous.with_file_name(".previous.safetensors.partial");
        let linked = match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // A second name for the same file: `last` is there at every moment. Some file systems have no such links.
            _ => fs::hard_link(&last, &partial).or_else(|_| fs::copy(&last, &partial).map(|_| ())),
        };
        linked.and_then(|()| fs::rename(&partial, &previous)).map_err(Error::io(previous, "write this checkpoint"))
    }

    /// Makes the previous checkpoint the last one again; a damaged one is kept as `damaged.safetensors`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn return_to_previous(&self) -> Result<()> {
        let (last, previous) = (self.last(), self.previous());
        let moved = match fs::rename(&last, last.with_file_name("damaged.safetensors")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::rename(&previous, &last),
        };
        moved.map_err(Error::io(last, "replace this checkpoint"))
    }

    /// The seconds of training so far; 0 if they were not written.
    pub fn train_s(&self) -> f64 {
        let seconds: Option<f64> = self.read_json(CLOCK).ok();
        seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).unwrap_or_default()
    }

    /// Writes the seconds of training. They are no part of a checkpoint, which is the same for equal runs.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_train_s(&self, seconds: f64) -> Result<()> {
        self.write_json(CLOCK, &seconds)
    }

    /// The weights that were best on the validation split.
    pub fn best(&self) -> PathBuf {
        self.path.join("checkpoints/best.safetensors")
    }

    /// The weights at the end of a cycle, counted from 1.
    pub fn snapshot(&self, cycle: u64) -> PathBuf {
        self.path.join(format!("checkpoints/snapshot-{cycle}.safetensors"))
    }

    /// The weights at the end of each cycle, as far as there are any.
    pub fn snapshots(&self) -> Vec<PathBuf> {
        (1..).map(|cycle| self.snapshot(cycle)).take_while(|path| path.is_file()).collect()
    }

    /// The weights to evaluate and to ship: the best if a validation split chose them, else the last.
    ///
    /// # Errors
    /// No checkpoint yet.
    pub fn weights(&self) -> Result<PathBuf> {
        let found = [self.best(), self.last()].into_iter().find(|path| path.is_file());
        found.ok_or_else(|| Error::NoCheckpoint { path: self.path.clone() })
    }

    /// Writes the split of each sample (`id,split`), for a stream that of each shard. A run that continues must find the same
    /// split.
    ///
    /// # Errors
    /// [`Error::OtherSplit`]; a folder that cannot be written.
    pub fn keep_split(&self, splits: &Splits) -> Result<()> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["id", "split"]).map_err(Error::serialize(SPLIT))?;
        for shard in splits.stream.iter().flat_map(|stream| stream.shards()) {
            table.write_record([shard.to_string_lossy().as_ref(), "train"]).map_err(Error::serialize(SPLIT))?;
        }
        for (name, dataset) in [("train", Some(&splits.train)), ("validation", splits.validation.as_ref())] {
            let Some(dataset) = dataset else { continue };
            for index in 0..dataset.len() {
                table.write_record([dataset.id(index).as_str(), name]).map_err(Error::serialize(SPLIT))?;
            }
        }
        let table = table.into_inner().map_err(Error::serialize(SPLIT))?;
        let path = self.path.join(SPLIT);
        match fs::read(&path) {
            Ok(kept) if kept == table => Ok(()),
            Ok(_) => Err(Error::OtherSplit { path }),
            Err(_) => self.write(SPLIT, &table),
        }
    }

    /// Writes `name` in this folder: whole, or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written; a full disk.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        write_atomic(&self.path.join(name), content)
    }

    /// Writes `name` as JSON: whole, or not at all.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(Error::serialize("JSON"))?;
        self.write(name, format!("{text}\n").as_bytes())
    }

    /// Reads `name` as JSON.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        let text = fs::read_to_string(&path).map_err(Error::io(&path, "read this file"))?;
        serde_json::from_str(&text).map_err(|error| Error::Broken { path, reason: error.to_string() })
    }

    /// Adds a line to `log.txt`.
    ///
    /// # Errors
    /// A folder that cannot be written; a full disk.
    pub fn log(&self, line: &str) -> Result<()> {
        let path = self.path.join("log.txt");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(Error::io(path, "write this file"))
    }
}

/// The names in a folder; none if it does not exist.
fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect()),
    };
    listed.map_err(Error::io(folder, "look into this folder"))
}

#[cfg(test)]
mod tests;
