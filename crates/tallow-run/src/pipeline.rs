//! The pipelines that a config describes.

use tallow_augment::{Normalization, Pipeline, PipelineConfig, Size};

use crate::{Error, Result};

/// Builds the pipeline of `config`, which `key` of the configuration holds. Where its ops set no size, every image must have the size `image`.
///
/// # Errors
/// A pipeline that cannot be built.
pub fn build_pipeline(
    key: &'static str,
    config: &PipelineConfig,
    channels: usize,
    normalization: &Normalization,
    image: Size,
) -> Result<Pipeline> {
    let built = match config.build(channels, normalization) {
        Err(tallow_augment::Error::SizeNotConstant { .. }) => config.build_for_input(channels, normalization, image),
        built => built,
    };
    built.map_err(|source| Error::Pipeline { key, source })
}
