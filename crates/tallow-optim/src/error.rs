//! The errors of this crate.

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of losses, optimisers and averages.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Labels, targets or weights do not fit the logits.
    #[error("loss: expected {expected}, found {found}")]
    Labels {
        /// The expected input.
        expected: String,
        /// The given input.
        found: String,
    },
    /// The loss needs the number of training samples of each class.
    #[error("loss {loss} needs the number of training samples of each class (LossContext::class_counts)")]
    ClassCounts {
        /// The loss, by its name in a config.
        loss: &'static str,
    },
    /// A list in the config of a loss does not have one number per class.
    #[error("loss.{key} has {found} numbers, the data has {expected} classes: give one number per class")]
    PerClass {
        /// The key of the loss.
        key: &'static str,
        /// The number of classes.
        expected: usize,
        /// The length of the list.
        found: usize,
    },
    /// The saved state of an optimiser or an average does not fit.
    #[error("saved state {name}: expected {expected}, found {found}; is it of another optimiser or model?")]
    State {
        /// The name of the tensor.
        name: String,
        /// The shape that is needed.
        expected: String,
        /// The shape that the saved state has.
        found: String,
    },
    /// A layer or kernel failed.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Saved state without a tensor of this name, or with one of another shape.
    pub(crate) fn state(name: impl Into<String>, expected: &[usize], found: Option<&candle_core::Tensor>) -> Self {
        Self::State {
            name: name.into(),
            expected: format!("shape {expected:?}"),
            found: found.map_or("no tensor of this name".to_owned(), |tensor| format!("shape {:?}", tensor.dims())),
        }
    }
}
