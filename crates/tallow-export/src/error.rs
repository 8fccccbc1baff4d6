//! The errors of this crate.

use std::path::{Path, PathBuf};

use crate::excerpt::excerpt;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate. Each names the file concerned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation of the file system failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write` or `replace`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The weights are not a complete safetensors file.
    #[error("{} is not a complete safetensors file ({reason}): copy or download it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of PyTorch that is damaged, or that holds something unsupported.
    #[error("{}: not a readable PyTorch file: {reason}; download it again, or save its state dict again", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A pickle that holds no state dict.
    #[error(
        "{}: expected a state dict (name → tensor), alone or in a training checkpoint; found {found}; save it with \
         torch.save(model.state_dict(), …)",
        path.display()
    )]
    NoWeights {
        /// The file.
        path: PathBuf,
        /// Its content.
        found: String,
    },
    /// There is no such file or folder of weights.
    #[error(
        "{}: there is no such file or folder; a repository of the Hub is written hf:OWNER/REPO, timm's weights \
         resnet18.a1_in1k",
        path.display()
    )]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A folder holds no weights.
    #[error("{}: there is no {expected} in it", path.display())]
    NoWeightsFile {
        /// The folder.
        path: PathBuf,
        /// The files that are looked for.
        expected: String,
    },
    /// The weights are of another architecture than asked for, as `config.json` beside them says.
    #[error("{}: these are weights of {found}, not of {expected}", path.display())]
    OtherModel {
        /// The weights.
        path: PathBuf,
        /// The architecture of the weights.
        found: String,
        /// The architecture asked for.
        expected: String,
    },
    /// A repository of the Hub could not be fetched.
    #[error(transparent)]
    Hub(#[from] tallow_hub::Error),
    /// A file of another format.
    #[error("{} is {found}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The format found, and what to do.
        found: &'static str,
    },
    /// Tensors that do not fit the model's by order.
    #[error("{}: the tensors do not fit the model's by order: {reason}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// The first difference.
        reason: String,
    },
    /// The weights' names are not the model's.
    #[error(
        "{} does not hold this architecture's weights: {}{}{}",
        path.display(),
        differences(missing, unexpected),
        if *fits_by_order { "; its tensors fit by order, under other names" } else { "" },
        shared.as_ref().map_or(String::new(), |shared| format!("; {shared}"))
    )]
    OtherArchitecture {
        /// The file.
        path: PathBuf,
        /// Names that only the model has.
        missing: Vec<String>,
        /// Names that only the file has.
        unexpected: Vec<String>,
        /// Whether the tensors fit the model's in their order, under other names.
        fits_by_order: bool,
        /// What the unexpected names have in common, where it is known.
        shared: Option<String>,
    },
    /// A file that holds several networks with the model's names.
    #[error(
        "{}: it holds several networks of this architecture, under {}; save one of them alone",
        path.display(),
        quoted(prefixes)
    )]
    SeveralNetworks {
        /// The file.
        path: PathBuf,
        /// What the names of each begin with.
        prefixes: Vec<String>,
    },
    /// Weights without some of the model's, where inference needs all.
    #[error("{}: it holds no weights for {} of this architecture", path.display(), names.join(", "))]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The model's names.
        names: Vec<String>,
    },
    /// Weights for another number of classes than asked for.
    #[error("{}: its weights are for {found} classes, {expected} are given", path.display())]
    OtherClasses {
        /// The file.
        path: PathBuf,
        /// The number of classes asked for.
        expected: usize,
        /// The number of classes of the file.
        found: usize,
    },
    /// Weights that are no numbers, or variances below zero.
    #[error("{}: {name} holds {found} ({count} of {total} values are wrong): the training that wrote it has diverged", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The first such value.
        found: f32,
        /// The number of such values.
        count: usize,
        /// The number of all values of the tensor.
        total: usize,
    },
    /// Shards, or the index of a shard, that are not beside it.
    #[error("{}: {} missing beside it: {}", path.display(), missing.len(), missing.join(", "))]
    MissingShards {
        /// The index, or the shard.
        path: PathBuf,
        /// The names of the files.
        missing: Vec<String>,
    },
    /// A tensor of another shape than the model's.
    #[error(
        "{}: {name} has shape {found:?}, the model needs {expected:?}: it was saved with another number of classes or channels, \
         or other options",
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
    /// `config.json` has a value that is not supported.
    #[error("{}: `{field}` is {found}, expected {expected}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// The values allowed.
        expected: String,
        /// The value found.
        found: String,
    },
    /// The model of a checkpoint cannot be built.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: tallow_models::Error,
    },
    /// The model is larger than a protobuf message can be.
    #[error(
        "{}: the model takes {bytes} bytes, and an ONNX file holds at most 2 GB",
        path.display()
    )]
    TooLarge {
        /// The file, which is not written.
        path: PathBuf,
        /// The size it would have.
        bytes: usize,
    },
    /// The ranges of 8-bit values could not be measured, or do not fit.
    #[error("cannot quantise: {0}")]
    Calibration(String),
    /// Filters could not be pruned.
    #[error("cannot prune: {0}")]
    Pruning(String),
    /// A parameter could not be read or set, or a forward pass failed or could not be traced.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}

/// Prefixes of names, between backquotes.
fn quoted(prefixes: &[String]) -> String {
    let quoted: Vec<String> = prefixes.iter().take(4).map(|prefix| format!("`{}`", excerpt(prefix))).collect();
    quoted.join(" and ")
}

/// The first few names of each kind.
fn differences(missing: &[String], unexpected: &[String]) -> String {
    const SHOWN: usize = 4;
    let some = |names: &[String], what: &str| {
        let more = if names.len() > SHOWN { ", …" } else { "" };
        let shown: Vec<String> = names.iter().take(SHOWN).map(|name| excerpt(name)).collect();
        let shown = shown.join(", ");
        (!names.is_empty()).then(|| format!("{} {what} ({shown}{more})", names.len()))
    };
    let parts = [some(missing, "missing"), some(unexpected, "unexpected")];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no tensor fits".to_owned() } else { parts.join(", ") }
}
