//! What can go wrong when a checkpoint is written or read.

use std::path::{Path, PathBuf};

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Each names the file concerned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write` or `replace`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The weights are not a whole safetensors file.
    #[error("{} is not a complete safetensors file ({reason}): copy or download it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of PyTorch's that is damaged, or uses what is not read here.
    #[error("{}: cannot be read as weights of PyTorch's: {reason}; download it again, or save its state dict once more", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A pickle that holds no state dict.
    #[error(
        "{}: expected a state dict (name → tensor), alone or under state_dict_ema, model_ema, state_dict or model; found \
         {found}; save it with torch.save(model.state_dict(), …)",
        path.display()
    )]
    NoWeights {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// A file of another kind.
    #[error("{} is {found}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        found: &'static str,
    },
    /// Tensors that do not fit the model's in their order.
    #[error("{}: its tensors do not fit the model's in their order: {reason}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// The first that does not.
        reason: String,
    },
    /// The weights' names are not the model's.
    #[error("{} does not hold this architecture's weights: {}; {hint}", path.display(), differences(missing, unexpected))]
    OtherArchitecture {
        /// The file.
        path: PathBuf,
        /// Names that the model has and the file has not.
        missing: Vec<String>,
        /// Names that the file has and the model has not.
        unexpected: Vec<String>,
        /// What to do.
        hint: &'static str,
    },
    /// A tensor of another shape than the model's.
    #[error(
        "{}: {name} has shape {found:?}, the model needs {expected:?}; give the class count, the channels and the \
         options that it was saved with",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// A tensor that is not of floating-point numbers.
    #[error("{}: {name} is of type {found}, expected F32, F16, BF16 or F64; convert the file to one of them", path.display())]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The type found.
        found: String,
    },
    /// `config.json` is not valid JSON or lacks a field.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// `config.json` asks for something that this crate cannot honour.
    #[error("{}: `{field}` is {found}, expected {expected}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is allowed.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The model that `config.json` describes cannot be built.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: tallow_models::Error,
    },
    /// More than a protobuf message can hold.
    #[error(
        "{}: the model takes {bytes} bytes, and an ONNX file holds 2 GB; export a smaller architecture, or its weights as \
         safetensors",
        path.display()
    )]
    TooLarge {
        /// The file that was to be written.
        path: PathBuf,
        /// The size it would have.
        bytes: usize,
    },
    /// Ranges for 8 bits could not be learnt.
    #[error("cannot quantise: {0}")]
    Calibration(String),
    /// Filters could not be pruned.
    #[error("cannot prune: {0}")]
    Pruning(String),
    /// A parameter could not be read or set, a forward pass failed or could not be traced.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}

/// The first few names of each kind.
fn differences(missing: &[String], unexpected: &[String]) -> String {
    const SHOWN: usize = 4;
    let some = |names: &[String], what: &str| {
        let more = if names.len() > SHOWN { ", …" } else { "" };
        let shown = names[..names.len().min(SHOWN)].join(", ");
        (!names.is_empty()).then(|| format!("{} {what} ({shown}{more})", names.len()))
    };
    let parts = [some(missing, "missing"), some(unexpected, "unexpected")];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "not one tensor fits".to_owned() } else { parts.join(", ") }
}
