//! The errors of this crate.

use std::path::PathBuf;

use tallow_base::nearest::did_you_mean;

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of training, from the config to the last checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config has an unknown key.
    #[error("{origin}: unknown key `{key}`{} Keys here: {valid}", did_you_mean(nearest.as_slice()))]
    UnknownKey {
        /// The origin of the key: a recipe, a file, a setting.
        origin: String,
        /// The dotted key.
        key: String,
        /// The nearest dotted key that exists, if one is spelt alike.
        nearest: Option<String>,
        /// All keys of its table.
        valid: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("{origin}: `{key}`: {reason}")]
    BadValue {
        /// The origin of the value: a recipe, a file, a setting, the defaults.
        origin: String,
        /// The dotted key.
        key: String,
        /// The found and the expected value.
        reason: String,
    },
    /// A setting is not `key=value`.
    #[error("`{text}`: expected key=value with a dotted key, as in train.epochs=8")]
    BadSetting {
        /// The setting.
        text: String,
    },
    /// A config file is not TOML.
    #[error("{origin}: this is not TOML: {message}")]
    NotToml {
        /// The recipe or file.
        origin: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A recipe does not exist.
    #[error("there is no recipe `{name}`; choose one of {valid}, or give the path of a .toml file")]
    UnknownRecipe {
        /// The name.
        name: String,
        /// The embedded recipes.
        valid: String,
    },
    /// Config and data, or two parts of the config, do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// A run cannot continue with other values of these settings.
    #[error("{}: this run cannot continue with {changes}", path.display())]
    CannotChange {
        /// The run directory.
        path: PathBuf,
        /// The keys with both values, and why they stay as they are.
        changes: String,
    },
    /// The data have no validation split, and none can be held out.
    #[error("{data}: there is no validation split to compare trials on")]
    NoValidationSplit {
        /// The dataset.
        data: String,
    },
    /// Cross-validation sets this key itself, or does not work with it.
    #[error("`{key}`: {reason}")]
    NotInCrossValidation {
        /// The dotted key.
        key: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A folder has no folds to continue.
    #[error("{}: there are no folds to continue", path.display())]
    NoFolds {
        /// The folder.
        path: PathBuf,
    },
    /// A folder has other folds than are asked for.
    #[error("{}: other folds: they were made from other data, or with another number of folds or repeats, or other groups", path.display())]
    OtherFolds {
        /// The table of folds.
        path: PathBuf,
    },
    /// The folds in a folder were begun with another configuration.
    #[error("{}: the folds were begun with another configuration", path.display())]
    OtherFoldConfig {
        /// The config file.
        path: PathBuf,
    },
    /// Cross-validation was asked to stop.
    #[error("{}: stopped in fold {fold}", path.display())]
    FoldInterrupted {
        /// The folder of the folds.
        path: PathBuf,
        /// The fold, counted from 1.
        fold: usize,
    },
    /// No gradient reaches some parameters.
    #[error(
        "no gradient reaches {names}: these parameters would never be trained. Are they used in `forward`, by operations \
         that have a backward?"
    )]
    NoGradient {
        /// The parameters.
        names: String,
    },
    /// The loss is NaN or infinite.
    #[error(
        "the loss is {loss} at step {step} (epoch {epoch}, batch {batch}). The batch: {samples}. {}. Lower optim.lr, clip \
         gradients (train.clip_norm), or look at these samples",
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
        /// The last checkpoint before it.
        checkpoint: Option<PathBuf>,
    },
    /// The run directory.
    #[error(transparent)]
    Run(#[from] tallow_run::Error),
    /// A trained run: a teacher, a fold.
    #[error(transparent)]
    Infer(#[from] tallow_infer::Error),
    /// The loss, the optimiser or the average.
    #[error(transparent)]
    Optim(#[from] tallow_optim::Error),
    /// The data.
    #[error(transparent)]
    Data(#[from] tallow_data::Error),
    /// The augmentation pipeline.
    #[error(transparent)]
    Augment(#[from] tallow_augment::Error),
    /// The model.
    #[error(transparent)]
    Models(#[from] tallow_models::Error),
    /// Pretrained or exported weights.
    #[error(transparent)]
    Export(#[from] tallow_export::Error),
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
    /// The dotted key of the config that the error is about, if it is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { key, .. } | Self::BadValue { key, .. } => Some(key),
            _ => None,
        }
    }
}

impl From<tallow_run::log::Error> for Error {
    fn from(error: tallow_run::log::Error) -> Self {
        Self::Run(error.into())
    }
}

fn last_good(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("The last good checkpoint is {}", path.display()),
        None => "No checkpoint was written before it".to_owned(),
    }
}
