//! What can go wrong in a run, from its config to its last checkpoint.

use std::{io, path::PathBuf};

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Each names the file, the key or the step concerned, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key that the config does not have.
    #[error("{origin}: unknown key `{key}`; did you mean `{nearest}`? Keys here: {valid}")]
    UnknownKey {
        /// Where it was written: a recipe, a file, `--set`.
        origin: String,
        /// The dotted key.
        key: String,
        /// The nearest dotted key that exists.
        nearest: String,
        /// All keys of its table.
        valid: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: `{key}`: {reason}")]
    BadValue {
        /// Where it was written: a recipe, a file, `--set`, the defaults.
        origin: String,
        /// The dotted key.
        key: String,
        /// What was found and what is expected.
        reason: String,
    },
    /// A `--set` that is not `key=value`.
    #[error("--set {text}: expected key=value with a dotted key, as in --set train.epochs=8")]
    BadSetting {
        /// What was given.
        text: String,
    },
    /// Config text that is not TOML.
    #[error("{origin}: this is not TOML: {message}")]
    NotToml {
        /// The recipe or file.
        origin: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A recipe that does not exist.
    #[error("there is no recipe `{name}`; choose one of {valid}, or give the path of a .toml file")]
    UnknownRecipe {
        /// What was asked for.
        name: String,
        /// The embedded recipes.
        valid: String,
    },
    /// Config and data, or two parts of the config, that do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// A file or folder that could not be read or written.
    #[error("{}: cannot {action}: {source}{}", path.display(), hint(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A run directory that is already in use.
    #[error("{}: this folder is not empty; choose another --out, or add --resume to `train` to continue the run in it", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that is no run directory.
    #[error("{}: not a run directory: it has no {missing}; give the folder that `train --out` named", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The file that every run has.
        missing: &'static str,
    },
    /// An ensemble where one run is asked for.
    #[error("{}: this is an ensemble, and one run is needed here: give one of those in {}", path.display(), path.join("members").display())]
    AnEnsemble {
        /// The folder.
        path: PathBuf,
    },
    /// A run that cannot be a member of the ensemble that is to be made.
    #[error("{}: {reason}", path.display())]
    Member {
        /// Its folder.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A file of a run that does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A checkpoint of another model, class count or optimiser than the run's config describes.
    #[error("{}: this checkpoint does not fit the run: {reason}", path.display())]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// Saved optimiser or EMA state that does not fit.
    #[error("saved state {name}: expected {expected}, found {found}; is it of another optimiser or model?")]
    OptimizerState {
        /// Its name.
        name: String,
        /// What the optimiser needs.
        expected: String,
        /// What the checkpoint has.
        found: String,
    },
    /// Labels that do not fit the logits.
    #[error("loss: expected {expected}, found {found}")]
    Labels {
        /// What the loss takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// Parameters that the loss does not reach.
    #[error(
        "no gradient reaches {names}: these parameters would never be trained. Are they used in `forward`, by operations that have a backward?"
    )]
    NoGradient {
        /// The parameters.
        names: String,
    },
    /// A loss that is NaN or infinite.
    #[error(
        "the loss is {loss} at step {step} (epoch {epoch}, batch {batch}). The batch: {samples}. {}. Lower optim.lr, clip gradients (train.clip_norm), or look at these samples",
        last_good(checkpoint)
    )]
    NonFiniteLoss {
        /// The loss.
        loss: f32,
        /// The optimiser step, counted from 0 over the whole run.
        step: u64,
        /// The epoch, counted from 1 as it is shown.
        epoch: u64,
        /// The batch within the epoch, counted from 0.
        batch: u64,
        /// The ids of the batch's samples.
        samples: String,
        /// The last checkpoint, from before it happened.
        checkpoint: Option<PathBuf>,
    },
    /// The run's logs.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The data.
    #[error(transparent)]
    Data(#[from] tallow_data::Error),
    /// The augmentation pipeline.
    #[error(transparent)]
    Augment(#[from] tallow_augment::Error),
    /// The model.
    #[error(transparent)]
    Models(#[from] tallow_models::Error),
    /// Layers and kernels.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] tallow_metrics::Error),
    /// Candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, action, source }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, then continue with --resume",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that may be written to"
        }
        _ => "",
    }
}

fn last_good(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("The last good checkpoint is {}", path.display()),
        None => "No checkpoint was written before it".to_owned(),
    }
}
