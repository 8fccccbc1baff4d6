//! Weights that are no numbers are found when they are read, not in a prediction.

use std::path::Path;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// Checks that all values are finite, and that variances are not negative.
pub(super) fn check_finite(path: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    if tensor.dtype() != DType::F32 {
        return Ok(());
    }
    let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()).map_err(tallow_nn::Error::from)?;
    let least = if name.ends_with("running_var") { 0.0 } else { f32::MIN };
    let wrong = |value: &&f32| !value.is_finite() || **value < least;
    let Some(&found) = values.iter().find(wrong) else { return Ok(()) };
    let (count, total) = (values.iter().filter(wrong).count(), values.len());
    Err(Error::NotFinite { path: path.to_path_buf(), name: excerpt(name), found, count, total })
}
