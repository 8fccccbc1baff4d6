//! The run directory: the whole truth of a run, written before its first step and taken by every later command.
//!
//! ```text
//! config.toml               the complete config: data, preprocessing, model, optimiser, schedule, seed
//! classes.json              class names in the order of the logits
//! environment.json          versions, machine, command line
//! split.csv                 which samples are trained on and which validated with
//! log.txt                   a line an epoch, skipped images, interruptions
//! summary.csv               numbers, a row an epoch
//! events/                   TensorBoard's event files
//! checkpoints/last.safetensors    everything needed to go on
//! checkpoints/best.safetensors    the weights that were best on the validation split, if there is one
//! checkpoints/snapshot-1.safetensors …  the weights at the end of each cycle, with train.snapshots
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tallow_data::Splits;
use tallow_models::Built;

use crate::checkpoint::load_weights;
use crate::config::{self, Setting};
use crate::{Ensemble, Error, Result, RunConfig};

const CONFIG: &str = "config.toml";
const CLASSES: &str = "classes.json";
const ENVIRONMENT: &str = "environment.json";
const SPLIT: &str = "split.csv";

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the folder of a new run and writes config, classes and environment.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn create(path: impl Into<PathBuf>, config: &RunConfig, classes: &[String]) -> Result<Self> {
        let run = Self::prepare(path, classes)?;
        run.make_folder("checkpoints")?;
        run.write_config(config)?;
        Ok(run)
    }

    /// Makes a folder and writes what every kind of run has: classes and environment.
    pub(crate) fn prepare(path: impl Into<PathBuf>, classes: &[String]) -> Result<Self> {
        let run = Self { path: path.into() };
        Self::check_free(&run.path)?;
        run.make_folder("")?;
        run.write_json(CLASSES, &classes)?;
        run.write_json(ENVIRONMENT, &Environment::here())?;
        Ok(run)
    }

    /// Refuses a folder that is in use.
    pub(crate) fn check_free(path: &Path) -> Result<()> {
        match fs::read_dir(path) {
            Ok(mut entries) => match entries.next() {
                Some(_) => Err(Error::RunExists { path: path.to_owned() }),
                None => Ok(()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::Io { path: path.to_owned(), action: "look into this folder", source }),
        }
    }

    fn make_folder(&self, name: &str) -> Result<()> {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "create this folder"))
    }

    /// A folder that is known to be some kind of run's.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the folder of a run that was started before.
    ///
    /// # Errors
    /// [`Error::NotARun`]; [`Error::AnEnsemble`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if Ensemble::is_at(&path) {
            return Err(Error::AnEnsemble { path });
        }
        for missing in [CONFIG, CLASSES] {
            if !path.join(missing).is_file() {
                return Err(Error::NotARun { path, missing });
            }
        }
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's config, with `settings` on top.
    ///
    /// # Errors
    /// A config that cannot be read, or is not one.
    pub fn config(&self, settings: &[Setting]) -> Result<RunConfig> {
        config::read(&self.path.join(CONFIG), settings)
    }

    /// Replaces the run's config, as resuming with other settings does.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        let text = toml::to_string_pretty(config).map_err(|error| Error::Mismatch(error.to_string()))?;
        self.write(CONFIG, text.as_bytes())
    }

    /// The class names in the order of the logits.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a list of names.
    pub fn classes(&self) -> Result<Vec<String>> {
        self.read_json(CLASSES)
    }

    /// Where training goes on from.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints/last.safetensors")
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
        found.ok_or_else(|| Error::Broken {
            path: self.path.clone(),
            reason: "this run has no checkpoint yet: let its first epoch end, or continue it with --resume".to_owned(),
        })
    }

    /// Builds the run's model and gives it the weights of [`weights`](Self::weights).
    ///
    /// # Errors
    /// No checkpoint yet, or one of another architecture.
    pub fn model(&self) -> Result<Built> {
        let config = self.config(&[])?;
        let model = &config.model;
        let built = tallow_models::build(&model.name, &model.config, config.train.seed, &candle_core::Device::Cpu)?;
        load_weights(&self.weights()?, &built.store)?;
        Ok(built)
    }

    /// Keeps which samples are trained on and which validated with (`id,split`); of a stream the shards. A run that goes on
    /// must find the same.
    ///
    /// # Errors
    /// Other samples than were kept; a folder that cannot be written.
    pub fn keep_split(&self, splits: &Splits) -> Result<()> {
        let broken = |error: &dyn std::fmt::Display| Error::Mismatch(format!("{SPLIT}: {error}"));
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["id", "split"]).map_err(|error| broken(&error))?;
        for shard in splits.stream.iter().flat_map(|stream| stream.shards()) {
            table.write_record([shard.to_string_lossy().as_ref(), "train"]).map_err(|error| broken(&error))?;
        }
        for (name, dataset) in [("train", Some(&splits.train)), ("validation", splits.validation.as_ref())] {
            let Some(dataset) = dataset else { continue };
            for index in 0..dataset.len() {
                table.write_record([dataset.id(index).as_str(), name]).map_err(|error| broken(&error))?;
            }
        }
        let table = table.into_inner().map_err(|error| broken(&error))?;
        let path = self.path.join(SPLIT);
        match fs::read(&path) {
            Ok(kept) if kept == table => Ok(()),
            Ok(_) => Err(Error::Mismatch(format!(
                "{}: the data no longer hold the samples that this run began with: bring them back, or start a new run",
                path.display()
            ))),
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
        let text = serde_json::to_string_pretty(value).map_err(|error| Error::Mismatch(error.to_string()))?;
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

/// Writes a file beside its place, forces it to the disk, and renames it: a crash leaves the old file or the new one.
///
/// # Errors
/// A folder that cannot be written; a full disk.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Always the same name: what a killed process leaves is overwritten by the next one.
    let partial = path.with_file_name(format!(".{name}.partial"));
    let written = File::create(&partial)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path))
        .and_then(|()| sync_folder(path));
    written.map_err(|source| {
        let _ = fs::remove_file(&partial);
        Error::Io { path: path.to_owned(), action: "write this file", source }
    })
}

/// A rename is on disk when its folder is; only Unix lets a folder be opened.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// What a run was made with, for those who repeat it.
#[derive(Debug, Serialize)]
struct Environment {
    tallow: &'static str,
    os: &'static str,
    arch: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    threads: usize,
    command: Vec<String>,
    started_unix_s: u64,
}

impl Environment {
    fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            tallow: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cpu: model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned()),
            threads: rayon::current_num_threads(),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            started_unix_s: now.map(|time| time.as_secs()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_never_written_over_and_reads_back() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let path = folder.path().join("runs/a");
        let classes = vec!["cat".to_owned(), "dog".to_owned()];
        let run = RunDir::create(&path, &RunConfig::default(), &classes)?;
        assert_eq!(run.classes()?, classes);
        assert_eq!(run.config(&[])?, RunConfig::default());
        let refused = RunDir::create(&path, &RunConfig::default(), &classes);
        assert!(matches!(&refused, Err(error) if error.to_string().contains("--resume")), "{refused:?}");
        assert_eq!(RunDir::open(&path)?, run);
        assert!(matches!(RunDir::open(folder.path()), Err(Error::NotARun { .. })));
        let left: Vec<_> = fs::read_dir(&path).map_err(Error::io(&path, "list"))?.flatten().collect();
        assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".partial")), "{left:?}");
        Ok(())
    }

    #[test]
    fn a_folder_below_a_file_is_one_clear_error() -> Result<()> {
        let file = tempfile::NamedTempFile::new().map_err(Error::io("", "make a file"))?;
        let error = RunDir::create(file.path().join("run"), &RunConfig::default(), &[]);
        assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
        Ok(())
    }

    #[test]
    fn the_split_is_kept_and_another_one_refused() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let run = RunDir::create(folder.path().join("a"), &RunConfig::default(), &["x".to_owned()])?;
        let splits = |seed| {
            let options = tallow_data::OpenOptions { validation_fraction: 0.1, seed, ..Default::default() };
            tallow_data::open("fashion-mnist-6k", &options)
        };
        run.keep_split(&splits(0)?)?;
        let kept = fs::read_to_string(run.path().join(SPLIT)).map_err(Error::io("", "read"))?;
        assert_eq!(kept.lines().count(), 5001);
        assert_eq!(kept.lines().filter(|line| line.ends_with(",validation")).count(), 500);
        run.keep_split(&splits(0)?)?;
        let refused = run.keep_split(&splits(1)?);
        assert!(matches!(&refused, Err(error) if error.to_string().contains("no longer hold")), "{refused:?}");
        Ok(())
    }
}
