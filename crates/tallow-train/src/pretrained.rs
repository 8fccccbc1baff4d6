//! A config completed with the preprocessing that its pretrained weights expect.

use serde_json::json;
use tallow_augment::{PipelineConfig, Preprocessing, Size};
use tallow_data::Splits;
use tallow_export::Pretrained;

use crate::{Error, Result, RunConfig};

/// Completes a run's config with the preprocessing that the weights expect, where the config has none: mean and standard
/// deviation, and for images of more than 64 pixels per side the size and the interpolation.
///
/// # Errors
/// Weights of another architecture.
pub(crate) fn complete(config: &mut RunConfig, weights: &Pretrained, splits: &Splits) -> Result<()> {
    weights.check(&config.model.name)?;
    let expected = weights.preprocessing(&config.model.name, splits.train.channels())?;
    let augment = &mut config.augment;
    if augment.mean.is_none() && augment.std.is_none() {
        augment.mean = Some(expected.normalization.mean.clone());
        augment.std = Some(expected.normalization.std.clone());
    }
    let Ok(first) = splits.first_image(config.data.on_corrupt) else {
        return Ok(()); // the loader reports it
    };
    let image = Size { height: first.height() as usize, width: first.width() as usize };
    if !Preprocessing::is_small(image) {
        let Preprocessing { size: Size { height, width }, interpolation, .. } = expected;
        if augment.train.is_none() && !augment.train_as_eval {
            augment.train = Some(pipeline(json!([
                { "op": "RandomResizedCrop", "size": [height, width], "interpolation": interpolation },
                { "op": "RandomHorizontalFlip" },
            ]))?);
        }
        if augment.eval.is_none() {
            augment.eval = Some(expected.ops());
        }
    }
    Ok(())
}

fn pipeline(ops: serde_json::Value) -> Result<PipelineConfig> {
    serde_json::from_value(ops)
        .map_err(|error| Error::Mismatch(format!("preprocessing of the pretrained weights: {error}")))
}
