//! The folder of a checkpoint: `model.safetensors` and `config.json`.

use std::path::Path;

use candle_core::{Device, Tensor};
use tallow_base::write_atomically;
use tallow_models::BuiltModel;
use tallow_nn::ParamStore;

use super::config_json::{CONFIG_FILE, read_config};
use super::info::CheckpointInfo;
use super::lora::merged;
use super::weights::{load_weights, to_bytes, with_num_batches_tracked};
use crate::error::{Error, Result};

/// The name of the weights file in a checkpoint's folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Writes `model.safetensors` and `config.json` into `dir`, which is created if it does not exist. Existing files of these
/// names are replaced, each atomically; between them `dir` has no `config.json`, so that weights are never beside the
/// description of others. LoRA weights are merged into the weights of their layers.
///
/// # Errors
/// The folder cannot be created or written.
pub fn save(dir: &Path, store: &ParamStore, info: &CheckpointInfo) -> Result<()> {
    save_state(dir, merged(store.state_dict())?, info)
}

/// [`save`] for a state dict that differs from its model's, such as one from
/// [`reparameterize`](tallow_models::reparameterize).
///
/// # Errors
/// As [`save`]'s.
pub fn save_state(dir: &Path, state: Vec<(String, Tensor)>, info: &CheckpointInfo) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io("write", dir))?;
    let weights = dir.join(WEIGHTS_FILE);
    let state = with_num_batches_tracked(state, info.num_batches_tracked)?;
    let bytes = to_bytes(&weights, state)?;
    let path = dir.join(CONFIG_FILE);
    let before = std::fs::read(&path).ok();
    if before.is_some() {
        std::fs::remove_file(&path).map_err(Error::io("replace", &path))?;
    }
    if let Err(error) = write_atomically(&weights, bytes) {
        // The weights are still those that the description was of.
        before.map(|before| write_atomically(&path, before));
        return Err(Error::io("write", &weights)(error));
    }
    let mut info = info.clone();
    info.model.lora_rank = None; // merged
    let mut config = format!("{:#}", info.to_json());
    config.push('\n');
    write_atomically(&path, config).map_err(Error::io("write", &path))
}

/// Opens a checkpoint's folder: the model with its weights, and its description. `dir` was written by [`save`], or by
/// timm's `save_for_hf` with `safe_serialization=True`.
///
/// # Errors
/// As [`read_config`] and a strict [`load_weights`].
pub fn open(dir: &Path, device: &Device) -> Result<(BuiltModel, CheckpointInfo)> {
    let info = read_config(dir)?;
    let built = tallow_models::build(&info.architecture, &info.model, 0, device)
        .map_err(|source| Error::Model { path: dir.join(CONFIG_FILE), source })?;
    load_weights(&dir.join(WEIGHTS_FILE), &built.store, true)?;
    Ok((built, info))
}
