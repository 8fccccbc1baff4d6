//! A model's state dict to the bytes of `model.safetensors`, and from a file back.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use tallow_nn::ParamStore;

use crate::error::{Error, Result};
use crate::read::StateDict;

/// PyTorch's counter of training batches in each BatchNorm. Its value is never used at momentum 0.1,
/// but PyTorch's strict loading wants it.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// What a file gave to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    /// Names that were loaded, in the model's order.
    pub loaded: Vec<String>,
    /// Names that the model has and the file has not: they kept their values.
    pub missing: Vec<String>,
    /// Names that the file has and the model has not: they were left out.
    pub unexpected: Vec<String>,
}

/// The state dict as PyTorch would have it: an i64 scalar `num_batches_tracked` behind the running
/// statistics of each BatchNorm.
///
/// # Errors
/// Never on the CPU.
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

/// A state dict in the safetensors format. The format itself sorts by type and name, as it does for timm.
pub(crate) fn to_bytes(path: &Path, state: Vec<(String, Tensor)>) -> Result<Vec<u8>> {
    // What PyTorch's own writer says; some readers ask for it.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(state, Some(metadata))
        .map_err(|e| Error::Corrupt { path: path.to_path_buf(), reason: e.to_string() })
}

/// Loads the weights of a file into a model, by name: `.safetensors` or PyTorch's own ([`StateDict::read`]). Half
/// precision is widened, `num_batches_tracked` left out. If anything is wrong, no parameter has changed.
///
/// `strict`: the names must be the model's, all of them and no others.
///
/// # Errors
/// The file cannot be read or is truncated; under `strict`, other names; in any case, another shape or
/// a type that is not floating point.
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
            Some(entry) => values.push((name, current, file.tensor(entry)?)),
            None => report.missing.push(name.clone()),
        }
    }
    if strict && !(report.missing.is_empty() && report.unexpected.is_empty()) {
        let LoadReport { missing, unexpected, .. } = report;
        let hint = "give the architecture and the options that it was saved with";
        return Err(Error::OtherArchitecture { path: path.to_path_buf(), missing, unexpected, hint });
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
