//! Completes a config from the data, and builds its pipelines.

use std::sync::Arc;

use serde_json::json;
use tallow_augment::{Normalization, Pipeline, PipelineConfig, Preprocessing, Size};
use tallow_data::{Sampler, Splits};
use tallow_models::{ModelConfig, Preset};
use tallow_optim::loss::Labels;
use tallow_run::{AugmentConfig, build_pipeline};

use super::RunConfig;
use crate::{Error, Result};

/// The size of the shuffle buffer of a stream with the sampler `shuffled`, in samples.
const STREAM_BUFFER: usize = 1000;

/// The side of images for an architecture of small images, where the data are photographs.
const PHOTO_SIDE: usize = 64;

/// A complete config, and the pipelines built from it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The complete config, which the run directory keeps.
    pub config: RunConfig,
    /// What was adapted to the data or to another key, in sentences for the user.
    pub notes: Vec<String>,
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
/// - `model.input_size` is the size of images: default pipelines make it, and pipelines that make another size are
///   [rescaled](PipelineConfig::rescaled). Without it, small images keep their size and others get the architecture's;
///   64×64 if that is smaller.
/// - For streamed data, `shuffled` means `{ shards = 1000 }`.
///
/// # Errors
/// A pipeline that cannot be built, or two that make different sizes; mean and std that do not fit the channels;
/// `model.num_classes` or `model.in_chans` that are not those of the data; early stopping without a validation split, or by a
/// metric that these data do not have; one class only; a training image that cannot be read.
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
    of_the_data("model.num_classes", config.model.config.num_classes, dataset.class_names().len(), &config.data.spec)?;
    of_the_data("model.in_chans", config.model.config.in_chans, dataset.channels(), &config.data.spec)?;
    metric_is_defined(&config, dataset.class_names().len())?;
    let channels = dataset.channels();
    let first = splits.first_image(config.data.on_corrupt)?;
    let image = Size { height: first.height() as usize, width: first.width() as usize };
    let preset = tallow_models::find(&config.model.name)?;
    config.model.name = preset.name.to_owned(); // Not an alias.

    let normalization = normalization(&config, splits)?;
    let plain = |key: &'static str, ops: &PipelineConfig| -> Result<Pipeline> {
        Ok(build_pipeline(key, ops, channels, &normalization, image)?)
    };
    let build = |key: &'static str, ops: &PipelineConfig| {
        // A crop that is too large for the images is found here, where its key is known.
        let fits = ops.build_for_input(channels, &normalization, image);
        fits.map_err(|source| tallow_run::Error::Pipeline { key, source })?;
        plain(key, ops)
    };
    let wanted = wanted_size(&config);
    if let Some(size) = wanted {
        check_size(&config, preset, "model.input_size", size)?;
    }
    let mut notes = Vec::new();
    rescale(&mut config.augment, wanted, &mut notes, &plain)?;
    let (size, by_key) = match wanted {
        Some(size) => (size, true),
        None => (default_size(preset, image), false),
    };
    if config.augment.train_as_eval {
        as_eval(&mut config.augment, image, size, by_key)?;
    }
    let given = config.augment.train.take();
    let train_ops = given.map_or_else(|| default_train(image, size), Ok)?;
    let train = build("augment.train", &train_ops)?;
    let size = size_of(&train);
    if let Some(wanted) = wanted.filter(|wanted| *wanted != size) {
        return Err(Error::Mismatch(format!(
            "model.input_size is {}, and augment.train makes images of {}: give one of them",
            text(wanted),
            text(size)
        )));
    }
    let mut eval_ops = config.augment.eval.take().unwrap_or_else(|| default_eval(image, size, by_key));
    if image != size {
        // The run directory keeps the size of the model's input, not that of the images.
        eval_ops = Preprocessing::sized(&eval_ops, image);
    }
    let eval = build("augment.eval", &eval_ops)?;
    // Networks without parameters per position may be evaluated on larger images than they are trained on (Touvron et al. 2019).
    if size != size_of(&eval) {
        if preset.fixed_input_size {
            let name = &config.model.name;
            return Err(Error::Mismatch(format!(
                "augment.train makes images of {}, augment.eval of {}: {name} takes images of one size",
                text(size),
                text(size_of(&eval))
            )));
        }
        check_size(&config, preset, "augment.eval", size_of(&eval))?;
    }
    if let Some(progressive) = &config.augment.progressive {
        let (least, most, start) = (preset.min_input_size.max(1), size.height.min(size.width), progressive.start);
        if preset.fixed_input_size {
            let name = &config.model.name;
            return Err(Error::Mismatch(format!(
                "augment.progressive: {name} takes images of one size, not growing ones"
            )));
        }
        if !(least..=most).contains(&start) {
            return Err(Error::Mismatch(format!(
                "augment.progressive.start: expected from {least} pixels, the least that {} takes, to the {most} that \
                 augment.train makes, found {start}",
                config.model.name
            )));
        }
        let epochs = progressive.stages.min(config.train.epochs);
        for epoch in 0..epochs {
            let (height, width) = progressive.size((size.height, size.width), epoch, epochs);
            check_size(&config, preset, "augment.progressive", Size { height, width })?;
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
    (model.num_classes, model.in_chans) = (dataset.class_names().len(), channels);
    model.input_size = (size.height, size.width);
    Ok(Resolved { config, notes, train: Arc::new(train), eval: Arc::new(eval) })
}

/// Fails if a key that follows from the data is set to another value; 0 is unset.
fn of_the_data(key: &str, set: usize, found: usize, spec: &str) -> Result<()> {
    if set == 0 || set == found {
        return Ok(());
    }
    Err(Error::Mismatch(format!("{key} is {set}, and {spec} has {found}: leave the key out, it follows from the data")))
}

/// Fails if `train.early_stopping.metric` is undefined for the data, where accuracy would choose in its place.
fn metric_is_defined(config: &RunConfig, classes: usize) -> Result<()> {
    let metric = config.train.early_stopping.metric;
    // Every class once, all of them right. No metric is undefined for six classes but not for more.
    let shown = classes.min(6);
    let labels: Vec<usize> = (0..shown).collect();
    let right = |i: usize| f32::from(i.is_multiple_of(shown + 1));
    let targets: Vec<f32> = (0..shown * shown).map(right).collect();
    let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
    let evaluation = match config.data.multi_label {
        true => tallow_metrics::evaluate_multi_label(&targets, &targets, &names),
        false => tallow_metrics::evaluate(&labels, tallow_metrics::Scores::Logits(&targets), &names),
    };
    match evaluation {
        Ok(evaluation) if metric.of(&evaluation, None).is_none() => Err(Error::Mismatch(format!(
            "train.early_stopping.metric = \"{}\" is undefined for {}, which has {classes} classes and {} per sample",
            metric.name,
            config.data.spec,
            if config.data.multi_label { "several labels" } else { "one label" },
        ))),
        _ => Ok(()),
    }
}

/// `model.input_size`, if it is set.
fn wanted_size(config: &RunConfig) -> Option<Size> {
    let (height, width) = config.model.config.input_size;
    (height > 0 || width > 0).then_some(Size { height, width })
}

/// Fails if the architecture cannot take images of this size, which `key` asks for.
fn check_size(config: &RunConfig, preset: &Preset, key: &str, size: Size) -> Result<()> {
    let input_size = (size.height, size.width);
    let model = ModelConfig { num_classes: 1, in_chans: 1, input_size, ..config.model.config.clone() };
    model.check(preset).map_err(|error| match error {
        tallow_models::Error::BadValue { key: "input_size", expected, found, .. } => {
            Error::Mismatch(format!("{key}: {} takes {expected}, found {found}", config.model.name))
        }
        other => other.into(),
    })
}

/// The size of images where no key gives one.
fn default_size(preset: &Preset, image: Size) -> Size {
    let (height, width) = preset.input_size;
    let photo = Size { height: PHOTO_SIDE, width: PHOTO_SIDE };
    match Preprocessing::is_small(image) {
        true => image,
        false if preset.fixed_input_size || height.min(width) >= PHOTO_SIDE => Size { height, width },
        // Made for small images: a photograph of 28 pixels shows nothing.
        false => photo,
    }
}

/// Rescales the pipelines that are given to the size that is wanted.
fn rescale(
    augment: &mut AugmentConfig,
    wanted: Option<Size>,
    notes: &mut Vec<String>,
    build: &impl Fn(&'static str, &PipelineConfig) -> Result<Pipeline>,
) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let train = augment.train.as_ref().map(|ops| build("augment.train", ops)).transpose()?;
    let eval = augment.eval.as_ref().map(|ops| build("augment.eval", ops)).transpose()?;
    // Evaluated images may be larger than training images, and stay so in proportion.
    let Some(from) = train.as_ref().or(eval.as_ref()).map(size_of).filter(|from| *from != wanted) else {
        return Ok(());
    };
    for (key, ops) in [("augment.train", &mut augment.train), ("augment.eval", &mut augment.eval)] {
        if let Some(ops) = ops {
            *ops = ops.rescaled(from, wanted);
            notes.push(format!("{key} is scaled from {} to model.input_size, {}", text(from), text(wanted)));
        }
    }
    Ok(())
}

fn size_of(pipeline: &Pipeline) -> Size {
    let (height, width, _) = pipeline.output_shape();
    Size { height, width }
}

fn text(size: Size) -> String {
    format!("{}×{}", size.height, size.width)
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

fn default_train(image: Size, size: Size) -> Result<PipelineConfig> {
    let to = [size.height, size.width];
    let ops = if Preprocessing::is_small(image) {
        let padding = size.height.max(size.width) / 8;
        json!([{ "op": "Resize", "size": to }, { "op": "RandomCrop", "size": to, "padding": padding }])
    } else {
        json!([{ "op": "RandomResizedCrop", "size": to }, { "op": "RandomHorizontalFlip" }])
    };
    pipeline(ops)
}

/// The default evaluation. A size that a key sets, and that is not square, is reached without keeping proportions: a centre crop
/// would leave black bars in some images.
fn default_eval(image: Size, size: Size, by_key: bool) -> PipelineConfig {
    let ops = Preprocessing::default_ops(image, size);
    let square = Size { height: size.height, width: size.height };
    match by_key && size != square {
        true => Preprocessing::default_ops(image, square).rescaled(square, size),
        false => ops,
    }
}

/// Gives training the pipeline of evaluation.
fn as_eval(augment: &mut AugmentConfig, image: Size, size: Size, by_key: bool) -> Result<()> {
    let eval = augment.eval.clone().unwrap_or_else(|| default_eval(image, size, by_key));
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
