//! What can go wrong when a layer is built, run, loaded or differentiated.

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Each names the operation or the parameter concerned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input of the wrong shape, type or device.
    #[error("{op}: expected {expected}, found {found}")]
    Input {
        /// The operation that refused its input.
        op: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// A layer or an operation was configured with values that mean nothing.
    #[error("{op}: {reason}")]
    Config {
        /// The layer or operation.
        op: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Two parameters or buffers of a model were given the same name.
    #[error("the parameter {name} is defined twice: each layer needs a name of its own")]
    DuplicateName {
        /// The full name, as in a state dict.
        name: String,
    },
    /// A tensor of another shape than the parameter it should fill.
    #[error(
        "{name}: the model has shape {expected:?}, the file has {found:?}; is it another architecture, size or class count?"
    )]
    ParameterShape {
        /// The parameter's full name.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// A name that the model does not have.
    #[error("the model has no parameter or buffer named {name}")]
    UnknownName {
        /// The name asked for.
        name: String,
    },
    /// `backward` was asked of a tensor that no tape saw.
    #[error("the loss does not depend on any recorded parameter: was Tape::start() called before the forward pass?")]
    NotRecorded,
    /// A value that depends on the images and comes from nothing that was traced.
    #[error(
        "cannot trace the model: {user} takes a value of shape {shape:?} that one of Candle's own operations made of the \
         images; those of tallow_nn::ops leave a trace"
    )]
    NotTraced {
        /// What takes the value.
        user: String,
        /// Its shape for one image.
        shape: Vec<usize>,
    },
    /// Candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// An input error, from anything that can be displayed.
    pub fn input(op: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Error::Input { op, expected: expected.into(), found: found.into() }
    }
}
