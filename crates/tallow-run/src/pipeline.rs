//! The pipelines that a config describes.

use tallow_augment::{Normalization, Pipeline, PipelineConfig, Size};

use crate::Result;

/// Builds the pipeline of `config`. Where its ops set no size, every image must have the size `image`.
///
/// # Errors
/// A pipeline that cannot be built.
pub fn build_pipeline(
    config: &PipelineConfig,
    channels: usize,
    normalization: &Normalization,
    image: Size,
) -> Result<Pipeline> {
    match config.build(channels, normalization) {
        Err(tallow_augment::Error::SizeNotConstant { .. }) => {
            Ok(config.build_for_input(channels, normalization, image)?)
        }
        built => Ok(built?),
    }
}
