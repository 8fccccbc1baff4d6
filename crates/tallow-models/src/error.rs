//! Errors of finding, configuring and building a model.

use tallow_base::nearest::did_you_mean;

/// The result of functions that find, configure or build a model.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Forward passes fail with [`tallow_nn::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No preset has this name.
    #[error("no model is named `{name}`{}", did_you_mean(nearest).trim_end_matches('.'))]
    UnknownModel {
        /// The unknown name.
        name: String,
        /// The most similar names, the best first; none if none is spelt alike.
        nearest: Vec<&'static str>,
    },
    /// A key is set that the architecture does not use.
    #[error("model.{key} is set, but {model} does not use it: leave it out ({model} uses {uses})")]
    UnusedKey {
        /// The key.
        key: &'static str,
        /// The name of the preset.
        model: &'static str,
        /// The optional keys that it uses.
        uses: String,
    },
    /// A key has a value that the architecture does not support.
    #[error("model.{key} must be {expected} for {model}, found {found}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The name of the preset.
        model: &'static str,
        /// The supported values.
        expected: String,
        /// The value in the config.
        found: String,
    },
    /// The configuration makes more parameters than memory is asked for.
    #[error("{keys}: {model} is too large so: {source}")]
    TooLarge {
        /// The keys that are set, such as `model.width`.
        keys: String,
        /// The name of the preset.
        model: &'static str,
        /// The parameter that is too many.
        source: tallow_nn::Error,
    },
    /// A layer cannot be built or run.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
}
