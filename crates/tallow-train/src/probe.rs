//! Linear probing: a frozen backbone runs once over each image, and the classifier trains on the features it made.

use candle_core::{Device, Tensor};
use tallow_data::{Batch, Loader};
use tallow_models::{Built, Model};
use tallow_nn::Mode;

use crate::batch::images;
use crate::fit::Split;
use crate::record::Record;
use crate::transfer::only_the_classifier_is_trained;
use crate::{Predictions, Result, RunConfig};

/// The features of a run's images, while its backbone is frozen.
pub(crate) struct Probe {
    /// As training passes see them.
    pub train: Features,
    /// As evaluation sees them, if there is one.
    eval: Option<Features>,
}

impl Probe {
    /// Runs the backbone over the images of `train` and `eval`, if nothing but the classifier is trained and every epoch
    /// shows the same pixels: without augmentation, mixing, dropout within the backbone, a teacher or R-Drop.
    ///
    /// # Errors
    /// An image that cannot be read; whatever the model fails with.
    pub fn new(
        config: &RunConfig,
        built: &Built,
        frozen: &[Tensor],
        train: &Loader,
        eval: Option<Split<'_>>,
        record: &mut Record<'_>,
    ) -> Result<Option<Self>> {
        let asked = config.transfer.cache_features && config.distill.teacher.is_none() && config.train.r_drop.is_none();
        // Images that grow are others each time.
        let same = train.is_deterministic() && config.augment.progressive.is_none();
        if !asked || !same || !only_the_classifier_is_trained(built, frozen) {
            return Ok(None);
        }
        let model = built.model.as_ref();
        let Some(train) = Features::of(model, train, || Mode::train(config.train.seed, 0))? else {
            return Ok(None);
        };
        let eval = eval.map(|split| Features::of(model, split.loader, Mode::eval)).transpose()?.flatten();
        let values = train.values.len() + eval.as_ref().map_or(0, |eval| eval.values.len());
        let megabytes = values as f64 * size_of::<f32>() as f64 / 1e6;
        record.note(&format!("the backbone is frozen: its features are kept, {megabytes:.1} MB"))?;
        Ok(Some(Self { train, eval }))
    }

    /// What the model says of the evaluated samples; `None` where their features are not kept.
    pub fn predict(&self, model: &dyn Model, loader: &Loader) -> Result<Option<Predictions>> {
        let Some(features) = &self.eval else {
            return Ok(None);
        };
        let mut predictions = Predictions { classes: loader.class_names().len(), ..Default::default() };
        for batch in loader.epoch_without_pixels(0, 0) {
            let batch = batch?;
            predictions.add_samples(loader, &batch);
            let logits = model.forward_head(&features.rows(&batch.indices)?, &Mode::eval())?;
            predictions.logits.extend(logits.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Some(predictions))
    }
}

/// What a backbone makes of every sample of a dataset, as small as the classifier permits.
pub(crate) struct Features {
    /// By sample.
    values: Vec<f32>,
    /// Of a sample.
    shape: Vec<usize>,
    /// Layers of the backbone that could have drawn random numbers.
    pub draws: u64,
}

impl Features {
    /// `None` where random numbers were drawn, or a sample could not be read: another epoch may then see others.
    fn of(model: &dyn Model, loader: &Loader, mode: impl Fn() -> Mode) -> Result<Option<Self>> {
        let mut features = Features { values: Vec::new(), shape: Vec::new(), draws: 0 };
        for batch in loader.in_order()?.epoch(0, 0) {
            let (batch, mode) = (batch?, mode());
            let made = model.pool(&model.forward_features(&images(batch.pixels, batch.shape)?, &mode)?)?;
            if mode.is_random() || !batch.skipped.is_empty() {
                return Ok(None);
            }
            (features.shape, features.draws) = (made.dims()[1..].to_vec(), mode.draws());
            features.values.extend(made.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Some(features))
    }

    /// The features of some samples: `[n, …]`.
    pub fn rows(&self, indices: &[usize]) -> Result<Tensor> {
        let len = self.shape.iter().product::<usize>();
        let values: Vec<f32> = indices.iter().flat_map(|&i| &self.values[i * len..(i + 1) * len]).copied().collect();
        Ok(Tensor::from_vec(values, [&[indices.len()], self.shape.as_slice()].concat(), &Device::Cpu)?)
    }
}

/// The batches of an epoch from batch `skip_batches` on, without their pixels where features are kept.
pub(crate) fn batches<'a>(
    loader: &'a Loader,
    probe: Option<&Probe>,
    (epoch, skip_batches): (u64, u64),
) -> Box<dyn Iterator<Item = Result<Batch>> + 'a> {
    match probe {
        Some(_) => Box::new(loader.epoch_without_pixels(epoch, skip_batches as usize).map(|batch| Ok(batch?))),
        None => Box::new(loader.epoch(epoch, skip_batches as usize).map(|batch| Ok(batch?))),
    }
}
