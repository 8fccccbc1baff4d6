//! What can go wrong when a model is named, configured or built.

/// The result of anything in this crate that can fail before a forward pass.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Forward passes fail with [`tallow_nn::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No preset has this name.
    #[error("no model is named `{name}`: did you mean {}? `cargo xtask models` lists them all", nearest.join(" or "))]
    UnknownModel {
        /// The name found.
        name: String,
        /// The nearest valid names, best first.
        nearest: Vec<&'static str>,
    },
    /// A key is set that this architecture has no use for.
    #[error("model.{key} is set, but {model} does not use it: leave it out ({model} uses {uses})")]
    UnusedKey {
        /// The key found.
        key: &'static str,
        /// The preset.
        model: &'static str,
        /// The optional keys that it does use.
        uses: String,
    },
    /// A key has a value that the architecture cannot honour.
    #[error("model.{key} must be {expected} for {model}, found {found}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The preset.
        model: &'static str,
        /// What is allowed.
        expected: String,
        /// What the config says.
        found: String,
    },
    /// A layer could not be built or run.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
}
