//! Checkpoints: one safetensors file with the model, its average, the optimiser's state, and the place in the run.
//!
//! Tensors are named `model.<name>`, `ema.<name>` and `optim.<name>`; the file's metadata holds the [`Position`] and
//! the model as JSON. Random numbers need no state: they follow from the seed and the position.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tallow_nn::ParamStore;

use crate::ema::Ema;
use crate::optim::Optimizer;
use crate::run_dir::write_atomic;
use crate::schedule::Plateau;
use crate::{Error, Result};

const POSITION: &str = "tallow.position";
const MODEL: &str = "tallow.model";

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epochs done.
    pub epoch: u64,
    /// Batches done of the epoch after those.
    pub batch: u64,
    /// Optimiser steps done in all.
    pub step: u64,
    /// The best validation score yet; higher is better.
    pub best_score: Option<Exact>,
    /// Epochs since then.
    pub epochs_since_best: u64,
    /// Seconds spent on training, evaluation left out.
    pub train_s: f64,
    /// Images trained on in all.
    pub images: u64,
    /// The sums of the epoch under way.
    pub running: Running,
    /// What a plateau schedule has seen.
    #[serde(default)]
    pub plateau: Plateau,
}

/// Sums over the batches of an epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// Images seen.
    pub images: u64,
    /// Sum of the images' losses.
    pub loss: Exact,
    /// Images whose highest logit was the label's.
    pub correct: u64,
    /// Images left out because they could not be read.
    pub skipped: u64,
}

/// A number that comes back from JSON as it went in, to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Exact(f64::from_bits(bits)))
    }
}

/// Writes a checkpoint: whole, or not at all. Without an optimiser it holds weights alone, and nothing can go on from it.
///
/// # Errors
/// A folder that cannot be written; a full disk.
pub fn save(
    path: &Path,
    model: &str,
    position: &Position,
    store: &ParamStore,
    ema: Option<&Ema>,
    optimizer: Option<&dyn Optimizer>,
) -> Result<()> {
    let mut tensors: Vec<(String, Tensor)> = prefixed("model", store.state_dict());
    if let Some(ema) = ema {
        tensors.extend(prefixed("ema", ema.state().to_vec()));
    }
    if let Some(optimizer) = optimizer {
        tensors.extend(prefixed("optim", optimizer.state()?));
    }
    let tensors: Vec<_> = tensors.into_iter().map(|(name, t)| Ok((name, t.contiguous()?))).collect::<Result<_>>()?;
    let position = serde_json::to_string(position).map_err(|error| Error::Mismatch(error.to_string()))?;
    let metadata = HashMap::from([(POSITION.to_owned(), position), (MODEL.to_owned(), model.to_owned())]);
    let bytes = safetensors::serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), Some(metadata))
        .map_err(|error| broken(path, error.to_string()))?;
    write_atomic(path, &bytes)
}

fn prefixed(prefix: &str, tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)).collect()
}

fn broken(path: &Path, reason: String) -> Error {
    let reason = format!("not a complete checkpoint: {reason}; take another one, or train again");
    Error::Broken { path: path.to_owned(), reason }
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// How far the run was.
    pub position: Position,
    /// The architecture's name.
    pub model: String,
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
        let entry = |key: &str| metadata.get(key).ok_or_else(|| broken(path, format!("it has no `{key}`")));
        let position = serde_json::from_str(entry(POSITION)?).map_err(|error| broken(path, error.to_string()))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| broken(path, error.to_string()))?;
        Ok(Self { position, model: entry(MODEL)?.clone(), path: path.to_owned(), tensors })
    }

    /// Gives a model the saved weights.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`]; the model is then unchanged.
    pub fn restore_model(&self, store: &ParamStore) -> Result<()> {
        self.restore(store, &self.part("model"))
    }

    /// Gives a model the weights to evaluate: the averaged ones where there are some.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`]; the model is then unchanged.
    pub fn restore_best_model(&self, store: &ParamStore) -> Result<()> {
        let averaged = self.part("ema");
        match averaged.is_empty() {
            true => self.restore_model(store),
            false => self.restore(store, &averaged),
        }
    }

    /// Gives an average its state.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`].
    pub fn restore_ema(&self, ema: &mut Ema) -> Result<()> {
        ema.load_state(&self.part("ema")).map_err(|error| self.other(error.to_string()))
    }

    /// Gives an optimiser its state.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`].
    pub fn restore_optimizer(&self, optimizer: &mut dyn Optimizer) -> Result<()> {
        optimizer.load_state(&self.part("optim")).map_err(|error| self.other(error.to_string()))
    }

    fn part(&self, prefix: &str) -> HashMap<String, Tensor> {
        let strip = |name: &String| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
        self.tensors.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect()
    }

    fn restore(&self, store: &ParamStore, weights: &HashMap<String, Tensor>) -> Result<()> {
        let model = store.state_dict();
        for (name, tensor) in &model {
            match weights.get(name) {
                Some(saved) if saved.dims() == tensor.dims() => {}
                Some(saved) => {
                    let (expected, found) = (tensor.dims(), saved.dims());
                    return Err(
                        self.other(format!("{name} has shape {expected:?} in the model, {found:?} in the file"))
                    );
                }
                None => return Err(self.other(format!("the file has no {name}"))),
            }
        }
        if let Some(name) = weights.keys().find(|name| model.iter().all(|(known, _)| known != *name)) {
            return Err(self.other(format!("the model has no {name}")));
        }
        weights.iter().try_for_each(|(name, tensor)| Ok(store.set(name, tensor)?))
    }

    fn other(&self, reason: String) -> Error {
        let reason =
            format!("it holds a {}: {reason}. Is it of another run, or was model or optim changed?", self.model);
        Error::OtherCheckpoint { path: self.path.clone(), reason }
    }
}

/// Gives a model the weights to evaluate from the checkpoint at `path`.
///
/// # Errors
/// As [`Checkpoint::load`] and [`Checkpoint::restore_best_model`].
pub fn load_weights(path: &Path, store: &ParamStore) -> Result<()> {
    Checkpoint::load(path)?.restore_best_model(store)
}
