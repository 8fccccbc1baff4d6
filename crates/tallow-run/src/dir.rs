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
//! checkpoints/best.safetensors    the weights that were best on the validation split, if there is one
//! checkpoints/snapshot-1.safetensors …  the weights at the end of each cycle, with train.snapshots
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tallow_data::Splits;

use crate::environment::Environment;
use crate::{Error, Result, RunSections, write_atomic};

const CONFIG: &str = "config.toml";
const CLASSES: &str = "classes.json";
const ENVIRONMENT: &str = "environment.json";
const SPLIT: &str = "split.csv";
/// The file that makes a folder the directory of an ensemble.
pub const ENSEMBLE: &str = "ensemble.toml";

/// The directory of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the folder of a new run and writes `config.toml`, the classes and the environment.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn create(path: impl Into<PathBuf>, config: &str, classes: &[String]) -> Result<Self> {
        let run = Self::prepare(path, classes)?;
        run.make_folder("checkpoints")?;
        run.write_config(config)?;
        Ok(run)
    }

    /// Makes a folder and writes what a run and an ensemble both have: classes and environment.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn prepare(path: impl Into<PathBuf>, classes: &[String]) -> Result<Self> {
        let run = Self { path: path.into() };
        Self::check_free(&run.path)?;
        run.make_folder("")?;
        run.write_json(CLASSES, &classes)?;
        run.write_json(ENVIRONMENT, &Environment::here())?;
        Ok(run)
    }

    /// Fails if a folder is not empty.
    ///
    /// # Errors
    /// [`Error::RunExists`]; a folder that cannot be listed.
    pub fn check_free(path: &Path) -> Result<()> {
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

    /// The directory of a run or an ensemble, without a check.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the folder of a run that was started before.
    ///
    /// # Errors
    /// [`Error::NotARun`]; [`Error::AnEnsemble`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if Self::is_ensemble(&path) {
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

    /// Replaces the run's config, as resuming with other settings does.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        self.write(CONFIG, config.as_bytes())
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

#[cfg(test)]
mod tests {
    use tallow_augment::batch::MixConfig;

    use super::*;

    /// With sections and keys that only training knows.
    const CONFIG_TEXT: &str = r#"
        [data]
        spec = "photos"
        [model]
        width = 8
        name = "resnet18"
        [augment]
        mean = [0.5]
        tta = ["hflip"]
        mix = { mixup_alpha = 0.2 }
        [optim]
        name = "an optimiser of the future"
        [train]
        epochs = 3
        seed = 7
        eval_batch_size = 20
    "#;

    #[test]
    fn inference_reads_its_sections_and_passes_over_those_of_training() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let run = RunDir::create(folder.path().join("a"), CONFIG_TEXT, &[])?;
        let sections = run.sections()?;
        assert_eq!((sections.data.spec.as_str(), sections.train.seed), ("photos", 7));
        assert_eq!((sections.model.name.as_str(), sections.model.config.width), ("resnet18", Some(8)));
        assert_eq!((sections.train.eval_batch_size, sections.train.batch_size), (20, 128));
        assert_eq!(sections.augment.mix, Some(MixConfig { mixup_alpha: 0.2, ..Default::default() }));
        run.write_config("[model]\nwidht = 8")?;
        let misspelt = run.sections();
        assert!(matches!(&misspelt, Err(Error::Broken { reason, .. }) if reason.contains("widht")), "{misspelt:?}");
        Ok(())
    }

    #[test]
    fn a_run_is_never_written_over_and_reads_back() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let path = folder.path().join("runs/a");
        let classes = vec!["cat".to_owned(), "dog".to_owned()];
        let run = RunDir::create(&path, CONFIG_TEXT, &classes)?;
        assert_eq!(run.classes()?, classes);
        assert_eq!(run.config_text()?, CONFIG_TEXT);
        let refused = RunDir::create(&path, CONFIG_TEXT, &classes);
        assert!(matches!(&refused, Err(Error::RunExists { .. })), "{refused:?}");
        assert_eq!(RunDir::open(&path)?, run);
        assert!(matches!(RunDir::open(folder.path()), Err(Error::NotARun { .. })));
        let left: Vec<_> = fs::read_dir(&path).map_err(Error::io(&path, "list"))?.flatten().collect();
        assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".partial")), "{left:?}");
        Ok(())
    }

    #[test]
    fn a_folder_below_a_file_is_one_clear_error() -> Result<()> {
        let file = tempfile::NamedTempFile::new().map_err(Error::io("", "make a file"))?;
        let error = RunDir::create(file.path().join("run"), CONFIG_TEXT, &[]);
        assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
        Ok(())
    }

    #[test]
    fn the_split_is_kept_and_another_one_refused() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let run = RunDir::create(folder.path().join("a"), CONFIG_TEXT, &["x".to_owned()])?;
        let splits = |seed| {
            let options = tallow_data::OpenOptions { validation_fraction: 0.1, seed, ..Default::default() };
            tallow_data::open("fashion-mnist-6k", &options).expect("the bundled images")
        };
        run.keep_split(&splits(0))?;
        let kept = fs::read_to_string(run.path().join(SPLIT)).map_err(Error::io("", "read"))?;
        assert_eq!(kept.lines().count(), 5001);
        assert_eq!(kept.lines().filter(|line| line.ends_with(",validation")).count(), 500);
        run.keep_split(&splits(0))?;
        let refused = run.keep_split(&splits(1));
        assert!(matches!(&refused, Err(Error::OtherSplit { .. })), "{refused:?}");
        Ok(())
    }
}
