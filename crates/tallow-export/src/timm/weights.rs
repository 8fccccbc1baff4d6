//! Weights of the same architecture: a state dict as `model.safetensors`, and loading by name.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use tallow_nn::ParamStore;

use super::finite::check_finite;
use crate::error::{Error, Result};
use crate::read::{COUNTER, StateDict};

/// The names that [`load_weights`] loaded, and those that it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    /// Names that the file has, in the model's order.
    pub loaded: Vec<String>,
    /// Names that only the model has: these tensors kept their values.
    pub missing: Vec<String>,
    /// Names that only the file has: they were ignored.
    pub unexpected: Vec<String>,
}

/// The state dict with PyTorch's `num_batches_tracked`, an i64 scalar, behind the running statistics of each BatchNorm.
///
/// # Errors
/// Candle's; none on the CPU.
pub fn with_num_batches_tracked(state: Vec<(String, Tensor)>, batches: i64) -> Result<Vec<(String, Tensor)>> {
    let mut entries = Vec::with_capacity(state.len() * 6 / 5);
    for (name, tensor) in state {
        let counter = name.strip_suffix("running_var").map(|module| format!("{module}{COUNTER}"));
        entries.push((name, tensor));
        if let Some(counter) = counter {
            entries.push((counter, Tensor::new(batches, &Device::Cpu).map_err(tallow_nn::Error::from)?));
        }
    }
    Ok(entries)
}

/// A state dict in the safetensors format, which sorts tensors by type and name.
pub(crate) fn to_bytes(path: &Path, state: Vec<(String, Tensor)>) -> Result<Vec<u8>> {
    // As PyTorch's writer; some readers require it.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(state, Some(metadata))
        .map_err(|e| Error::Corrupt { path: path.to_path_buf(), reason: e.to_string() })
}

/// Loads the weights of a file ([`StateDict::read`]) into a model by name. Half precision is widened to f32, and
/// `num_batches_tracked` is ignored. After an error no parameter has changed.
///
/// `strict`: the file must have all of the model's names and no others.
///
/// # Errors
/// A file that cannot be read; under `strict`, missing or unexpected names; a tensor of another shape, of a type that is not
/// floating point, or with values that are not finite.
pub fn load_weights(path: &Path, store: &ParamStore, strict: bool) -> Result<LoadReport> {
    let file = StateDict::read(path)?;
    let state = store.state_dict();
    let own: HashSet<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    let mut unexpected: Vec<String> = file.names().map(str::to_string).collect();
    unexpected.retain(|name| !own.contains(name.as_str()));
    unexpected.sort();
    let mut report = LoadReport { loaded: Vec::new(), missing: Vec::new(), unexpected };
    let mut values = Vec::with_capacity(state.len());
    for (name, current) in &state {
        match file.find(name) {
            Some(entry) => {
                let tensor = file.tensor(entry)?;
                check_finite(path, name, tensor)?;
                values.push((name, current, tensor));
            }
            None => report.missing.push(name.clone()),
        }
    }
    if strict && !(report.missing.is_empty() && report.unexpected.is_empty()) {
        let LoadReport { missing, unexpected, .. } = report;
        let path = path.to_path_buf();
        return Err(Error::OtherArchitecture { path, missing, unexpected, fits_by_order: false, shared: None });
    }
    if let Some((name, current, tensor)) = values.iter().find(|(_, current, found)| found.dims() != current.dims()) {
        return Err(Error::Shape {
            path: path.to_path_buf(),
            name: name.to_string(),
            expected: current.dims().to_vec(),
            found: tensor.dims().to_vec(),
        });
    }
    for (name, _, tensor) in values {
        store.set(name, tensor)?;
        report.loaded.push(name.clone());
    }
    Ok(report)
}
