//! Backbone features of a dataset: one vector per sample, for near duplicates and outliers.

use candle_core::Tensor;
use tallow_data::Loader;
use tallow_models::BuiltModel;
use tallow_nn::Mode;

use crate::batch::images;
use crate::{Error, Result};

/// The backbone features of every sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// Row-major, `n × dim`.
    pub values: Vec<f32>,
    /// The number of features: the backbone's channels.
    pub dim: usize,
    /// The index of each row in the dataset.
    pub indices: Vec<usize>,
    /// The ids of images that could not be read and were left out.
    pub skipped: Vec<String>,
}

/// Runs the backbone of `built` in evaluation mode over the samples of `loader`, in its order. Features of several positions
/// or tokens are averaged.
///
/// # Errors
/// An image that cannot be read (or that the loader leaves out, if so configured); whatever the model fails with.
pub fn embed(built: &BuiltModel, loader: &Loader) -> Result<Features> {
    let dim = built.info.num_features;
    let mut features = Features { dim, ..Default::default() };
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        features.indices.extend_from_slice(&batch.indices);
        features.skipped.extend_from_slice(&batch.skipped);
        let maps = built.model.forward_features(&images(batch.pixels, batch.shape)?, &Mode::eval())?;
        features.values.extend(pooled(&maps, dim)?.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(features)
}

/// The mean over all positions: `[n, dim, h, w]`, `[n, h, w, dim]`, `[n, tokens, dim]` or `[n, dim]` → `[n, dim]`.
fn pooled(features: &Tensor, dim: usize) -> Result<Tensor> {
    let pooled = match *features.dims() {
        [_, c] if c == dim => features.clone(),
        [_, _, c] if c == dim => features.mean(1)?,
        [_, c, _, _] if c == dim => features.mean((2, 3))?,
        [_, _, _, c] if c == dim => features.mean((1, 2))?,
        _ => {
            let message = format!("features of shape {:?}: expected {dim} channels in one dimension", features.dims());
            return Err(Error::from(candle_core::Error::Msg(message)));
        }
    };
    Ok(pooled.contiguous()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn places_are_averaged_wherever_the_channels_lie() {
        let values = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap();
        let mean =
            |shape: &[usize], dim| pooled(&values.reshape(shape).unwrap(), dim).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(mean(&[1, 3, 2, 2], 3), [[1.5, 5.5, 9.5]]);
        assert_eq!(mean(&[1, 2, 2, 3], 3), [[4.5, 5.5, 6.5]]);
        assert_eq!(mean(&[1, 4, 3], 3), [[4.5, 5.5, 6.5]]);
        assert_eq!(mean(&[4, 3], 3)[1], [3.0, 4.0, 5.0]);
        assert!(pooled(&values.reshape((3, 4)).unwrap(), 7).is_err());
    }
}
