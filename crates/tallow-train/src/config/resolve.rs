//! Completes a config from the data, and builds its pipelines.

use std::sync::Arc;

use serde_json::json;
use tallow_augment::{Normalization, Pipeline, PipelineConfig, Preprocessing, Size};
use tallow_data::{Sampler, Splits};
use tallow_optim::loss::Labels;
use tallow_run::{AugmentConfig, build_pipeline};

use super::RunConfig;
use crate::{Error, Result};

/// The size of the shuffle buffer of a stream with the sampler `shuffled`, in samples.
const STREAM_BUFFER: usize = 1000;

/// A complete config, and the pipelines built from it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The complete config, which the run directory keeps.
    pub config: RunConfig,
    /// The pipeline of training images.
    pub train: Arc<Pipeline>,
    /// The pipeline of evaluated images.
    pub eval: Arc<Pipeline>,
}

/// Fills in the class count, the channels, the input size, the pipelines and the pixel statistics, and checks the keys that
/// depend on them.
///
/// - `augment.train` defaults to a random crop after padding by an eighth for images of up to 64 pixels per side, and to a
///   random resized crop and a horizontal flip for larger ones.
/// - `augment.eval` defaults to a resize to the training size for small images, and to a resize of the short side and a centre
///   crop for larger ones.
/// - With `augment.train_as_eval`, training images go through the evaluation pipeline.
/// - For streamed data, `shuffled` means `{ shards = 1000 }`.
///
/// # Errors
/// A pipeline that cannot be built, or two that make different sizes; mean and std that do not fit the channels; early
/// stopping without a validation split; one class only; a training image that cannot be read.
pub fn resolve(mut config: RunConfig, splits: &Splits) -> Result<Resolved> {
    let dataset = splits.train.as_ref();
    if splits.stream.is_some() && config.data.sampler == Sampler::Shuffled {
        config.data.sampler = Sampler::Shards(STREAM_BUFFER);
    }
    if splits.train_samples()? == 0 {
        return Err(Error::Mismatch(format!("{}: no training samples", config.data.spec)));
    }
    splits.check_classes(&config.data.spec)?;
    if config.train.early_stopping.patience > 0 && splits.validation.is_none() {
        return Err(Error::Mismatch(
            "train.early_stopping.patience needs a validation split: set data.validation_fraction = 0.1, say".into(),
        ));
    }
    if config.schedule.plateau().is_some() && splits.validation.is_none() {
        return Err(Error::Mismatch(
            "schedule.name = \"plateau\" needs a validation split: set data.validation_fraction = 0.1, say".into(),
        ));
    }
    config.data.multi_label = dataset.is_multi_label();
    if config.data.multi_label && config.loss.labels() == Labels::Single {
        return Err(Error::Mismatch(format!(
            "{}: several labels per sample need loss.name = \"binary_cross_entropy\" or \"asymmetric_multi_label\": other \
             losses take one class per sample",
            config.data.spec
        )));
    }
    let channels = dataset.channels();
    let first = splits.first_image(config.data.on_corrupt)?;
    let image = Size { height: first.height() as usize, width: first.width() as usize };
    let preset = tallow_models::find(&config.model.name)?;
    config.model.name = preset.name.to_owned(); // Not an alias.

    let normalization = normalization(&config, splits)?;
    if config.augment.train_as_eval {
        as_eval(&mut config.augment, image, preset.input_size)?;
    }
    let given = config.augment.train.take();
    let train_ops = given.map_or_else(|| default_train(image, preset.input_size), Ok)?;
    let train = build_pipeline("augment.train", &train_ops, channels, &normalization, image)?;
    let (height, width, _) = train.output_shape();
    let size = Size { height, width };
    let mut eval_ops = config.augment.eval.take().unwrap_or_else(|| Preprocessing::default_ops(image, size));
    if image != size {
        // The run directory keeps the size of the model's input, not that of the images.
        eval_ops = Preprocessing::sized(&eval_ops, image);
    }
    let eval = build_pipeline("augment.eval", &eval_ops, channels, &normalization, image)?;
    // Purely convolutional networks may be evaluated on larger images than they are trained on (Touvron et al. 2019).
    if train.output_shape() != eval.output_shape() && !preset.family.starts_with("cnn/") {
        let (found, (h, w, _)) = (size, eval.output_shape());
        return Err(Error::Mismatch(format!(
            "augment.train makes images of {}×{}, augment.eval of {h}×{w}: only convolutional networks take both",
            found.height, found.width
        )));
    }
    if let Some(progressive) = &config.augment.progressive {
        let (least, most, start) = (preset.min_input_size.max(1), height.min(width), progressive.start);
        if !preset.family.starts_with("cnn/") {
            let name = &config.model.name;
            return Err(Error::Mismatch(format!(
                "augment.progressive: {name} takes images of one size; only convolutional networks take growing ones"
            )));
        }
        if !(least..=most).contains(&start) {
            return Err(Error::Mismatch(format!(
                "augment.progressive.start: expected from {least} pixels, the least that {} takes, to the {most} that \
                 augment.train makes, found {start}",
                config.model.name
            )));
        }
    }

    config.augment = AugmentConfig {
        train: Some(train_ops),
        eval: Some(eval_ops),
        mean: Some(normalization.mean),
        std: Some(normalization.std),
        ..config.augment
    };
    let model = &mut config.model.config;
    (model.num_classes, model.in_chans, model.input_size) = (dataset.class_names().len(), channels, (height, width));
    Ok(Resolved { config, train: Arc::new(train), eval: Arc::new(eval) })
}

fn normalization(config: &RunConfig, splits: &Splits) -> Result<Normalization> {
    let channels = splits.train.channels();
    match (&config.augment.mean, &config.augment.std) {
        (Some(mean), Some(std)) => {
            for (key, values) in [("augment.mean", mean), ("augment.std", std)] {
                if values.len() != channels {
                    return Err(Error::Mismatch(format!(
                        "{key} has {} values, the images have {channels} channels: give one a channel, or leave it out \
                         to have it measured",
                        values.len()
                    )));
                }
            }
            Ok(Normalization { mean: mean.clone(), std: std.clone() })
        }
        (None, None) => Ok(splits.measure(config.data.on_corrupt)?),
        _ => Err(Error::Mismatch("give both augment.mean and augment.std, or neither to have them measured".into())),
    }
}

fn default_train(image: Size, (height, width): (usize, usize)) -> Result<PipelineConfig> {
    let ops = if Preprocessing::is_small(image) {
        let size = [image.height, image.width];
        let padding = image.height.max(image.width) / 8;
        json!([{ "op": "Resize", "size": size }, { "op": "RandomCrop", "size": size, "padding": padding }])
    } else {
        json!([{ "op": "RandomResizedCrop", "size": [height, width] }, { "op": "RandomHorizontalFlip" }])
    };
    pipeline(ops)
}

/// Gives training the pipeline of evaluation.
fn as_eval(augment: &mut AugmentConfig, image: Size, (height, width): (usize, usize)) -> Result<()> {
    let made = if Preprocessing::is_small(image) { image } else { Size { height, width } };
    let eval = augment.eval.clone().unwrap_or_else(|| Preprocessing::default_ops(image, made));
    if augment.train.as_ref().is_some_and(|train| *train != eval) {
        return Err(Error::Mismatch(
            "augment.train_as_eval takes the pipeline of evaluation for training: leave augment.train out".into(),
        ));
    }
    (augment.train, augment.eval) = (Some(eval.clone()), Some(eval));
    Ok(())
}

fn pipeline(ops: serde_json::Value) -> Result<PipelineConfig> {
    serde_json::from_value(ops).map_err(|error| Error::Mismatch(format!("the default pipeline: {error}")))
}
