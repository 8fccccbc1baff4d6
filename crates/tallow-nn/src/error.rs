//! Errors of building, running, loading or differentiating a layer.

/// The result of a fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Each names the operation or the parameter that it concerns.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input has the wrong shape, type or device.
    #[error("{op}: expected {expected}, found {found}")]
    Input {
        /// The operation.
        op: &'static str,
        /// The input that it takes.
        expected: String,
        /// The input that it was given.
        found: String,
    },
    /// A layer or an operation was configured with invalid values.
    #[error("{op}: {reason}")]
    Config {
        /// The layer or operation.
        op: &'static str,
        /// The invalid value, and the valid ones.
        reason: String,
    },
    /// Two parameters or buffers of a model have the same name.
    #[error("the parameter {name} is defined twice: each layer needs a name of its own")]
    DuplicateName {
        /// The full name, as in a state dict.
        name: String,
    },
    /// A tensor has another shape than the parameter that it should fill.
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
    /// The model has no parameter or buffer of this name.
    #[error("the model has no parameter or buffer named {name}")]
    UnknownName {
        /// The name that was asked for.
        name: String,
    },
    /// The loss of a backward pass depends on nothing that a tape recorded.
    #[error("the loss does not depend on any recorded parameter: was Tape::start() called before the forward pass?")]
    NotRecorded,
    /// A value depends on the images, and no traced operation computed it.
    #[error(
        "cannot trace the model: {user} takes a value of shape {shape:?} that one of Candle's own operations computed from the \
         images; use the operations of tallow_nn::op, which leave a trace"
    )]
    NotTraced {
        /// The operation that takes the value.
        user: String,
        /// Its shape for one image.
        shape: Vec<usize>,
    },
    /// A GPU was asked for, and this build has no CUDA.
    #[error("device {device}: this build computes on the CPU alone")]
    NoCuda {
        /// The device that was asked for.
        device: String,
    },
    /// A device cannot be opened.
    #[error("device {device}: {reason}")]
    NoDevice {
        /// The device that was asked for.
        device: String,
        /// The driver's reason.
        reason: String,
    },
    /// Candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// An input error.
    pub fn input(op: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Error::Input { op, expected: expected.into(), found: found.into() }
    }
}
