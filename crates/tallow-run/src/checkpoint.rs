//! Checkpoints: named groups of tensors, the position in the run and the architecture, in one safetensors file.
//!
//! A tensor of a group is stored as `GROUP.NAME`. Training writes the groups [`MODEL`], [`EMA`] and [`OPTIMIZER`]; weights to
//! ship are [`MODEL`] alone, or beside [`EMA`], which is then used in its place. The file's metadata holds the position as
//! JSON and the name of the architecture. Random numbers have no state: they follow from the seed and the position.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tallow_nn::ParamStore;

use crate::{Error, Result, write_atomic};

/// The group of the model's parameters and buffers.
pub const MODEL: &str = "model";
/// The group of their moving average.
pub const EMA: &str = "ema";
/// The group of the optimiser's state.
pub const OPTIMIZER: &str = "optim";

const POSITION_KEY: &str = "tallow.position";
const MODEL_KEY: &str = "tallow.model";

/// Named tensors.
pub type Tensors = Vec<(String, Tensor)>;

/// Writes a checkpoint of the architecture `model`, whole or not at all.
///
/// # Errors
/// A folder that cannot be written; a full disk.
pub fn save(path: &Path, model: &str, position: &impl Serialize, groups: Vec<(&str, Tensors)>) -> Result<()> {
    let mut tensors: Tensors = Vec::new();
    for (group, of_group) in groups {
        for (name, tensor) in of_group {
            tensors.push((format!("{group}.{name}"), tensor.contiguous()?));
        }
    }
    let position = serde_json::to_string(position).map_err(Error::serialize("the position of a checkpoint"))?;
    let metadata = HashMap::from([(POSITION_KEY.to_owned(), position), (MODEL_KEY.to_owned(), model.to_owned())]);
    let bytes = safetensors::serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), Some(metadata))
        .map_err(|error| broken(path, error.to_string()))?;
    write_atomic(path, &bytes)
}

fn broken(path: &Path, reason: String) -> Error {
    Error::Broken { path: path.to_owned(), reason: format!("not a complete checkpoint: {reason}") }
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// The architecture's name.
    pub model: String,
    position: String,
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is missing, cut off, or something else.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path, "read this checkpoint"))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| broken(path, error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| metadata.get(key).cloned().ok_or_else(|| broken(path, format!("it has no `{key}`")));
        let (position, model) = (entry(POSITION_KEY)?, entry(MODEL_KEY)?);
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| broken(path, error.to_string()))?;
        Ok(Self { model, position, path: path.to_owned(), tensors })
    }

    /// The position in the run.
    ///
    /// # Errors
    /// A position of another type.
    pub fn position<P: DeserializeOwned>(&self) -> Result<P> {
        serde_json::from_str(&self.position).map_err(|error| broken(&self.path, error.to_string()))
    }

    /// The tensors of a group by name; empty if the checkpoint does not have it.
    pub fn group(&self, group: &str) -> HashMap<String, Tensor> {
        let strip = |name: &String| Some(name.strip_prefix(group)?.strip_prefix('.')?.to_owned());
        self.tensors.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect()
    }

    /// Gives a model the saved weights.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`]; the model is then unchanged.
    pub fn restore_model(&self, store: &ParamStore) -> Result<()> {
        self.restore(store, &self.group(MODEL))
    }

    /// Gives a model the weights to evaluate: the averaged ones if the checkpoint has them.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`]; the model is then unchanged.
    pub fn restore_best_model(&self, store: &ParamStore) -> Result<()> {
        let averaged = self.group(EMA);
        match averaged.is_empty() {
            true => self.restore_model(store),
            false => self.restore(store, &averaged),
        }
    }

    /// The error of a checkpoint that does not fit, for the reason given.
    pub fn does_not_fit(&self, reason: &str) -> Error {
        let reason =
            format!("it holds a {}: {reason}. Is it of another run, or was model or optim changed?", self.model);
        Error::OtherCheckpoint { path: self.path.clone(), reason }
    }

    fn restore(&self, store: &ParamStore, weights: &HashMap<String, Tensor>) -> Result<()> {
        let model = store.state_dict();
        for (name, tensor) in &model {
            match weights.get(name) {
                Some(saved) if saved.dims() == tensor.dims() => {}
                Some(saved) => {
                    let (expected, found) = (tensor.dims(), saved.dims());
                    return Err(self
                        .does_not_fit(&format!("{name} has shape {expected:?} in the model, {found:?} in the file")));
                }
                None => return Err(self.does_not_fit(&format!("the file has no {name}"))),
            }
        }
        if let Some(name) = weights.keys().find(|name| model.iter().all(|(known, _)| known != *name)) {
            return Err(self.does_not_fit(&format!("the model has no {name}")));
        }
        weights.iter().try_for_each(|(name, tensor)| Ok(store.set(name, tensor)?))
    }
}

/// Gives a model the weights to evaluate from the checkpoint at `path`.
///
/// # Errors
/// As [`Checkpoint::load`] and [`Checkpoint::restore_best_model`].
pub fn load_weights(path: &Path, store: &ParamStore) -> Result<()> {
    Checkpoint::load(path)?.restore_best_model(store)
}
