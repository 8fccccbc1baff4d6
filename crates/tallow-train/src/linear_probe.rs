//! Linear probing: a frozen backbone runs once over each image, and the classifier trains on the cached features.

use candle_core::{Device, Tensor};
use tallow_data::{Batch, Loader};
use tallow_infer::Predictions;
use tallow_infer::batch::images;
use tallow_models::Model;
use tallow_nn::Mode;

use crate::run_log::RunLog;
use crate::transfer::only_the_classifier_is_trained;
use crate::{Network, Result, RunConfig, Split};

/// The features of a run's images, while its backbone is frozen.
pub(crate) struct LinearProbe {
    /// Features of the training samples.
    pub train: CachedFeatures,
    /// Features of the evaluated samples, if there are some.
    eval: Option<CachedFeatures>,
}

impl LinearProbe {
    /// Runs the backbone over the images of `train` and `eval`, if only the classifier is trained and every epoch shows the same
    /// pixels: without augmentation, mixing, dropout in the backbone, a teacher or R-Drop.
    ///
    /// # Errors
    /// An image that cannot be read; an error of the model.
    pub fn new(
        config: &RunConfig,
        network: Network<'_>,
        frozen: &[Tensor],
        train: &Loader,
        eval: Option<Split<'_>>,
        log: &mut RunLog<'_>,
    ) -> Result<Option<Self>> {
        let asked = config.transfer.cache_features && config.distill.teacher.is_none() && config.train.r_drop.is_none();
        // Progressive resizing changes the pixels.
        let same = train.is_deterministic() && config.augment.progressive.is_none();
        if !asked || !same || !only_the_classifier_is_trained(network, frozen) {
            return Ok(None);
        }
        let model = network.model;
        let Some(train) = CachedFeatures::of(model, train, || Mode::train(config.train.seed, 0))? else {
            return Ok(None);
        };
        let eval = eval.map(|split| CachedFeatures::of(model, split.loader, Mode::eval)).transpose()?.flatten();
        let values = train.values.len() + eval.as_ref().map_or(0, |eval| eval.values.len());
        let megabytes = values as f64 * size_of::<f32>() as f64 / 1e6;
        log.note(&format!("the backbone is frozen: its features are cached, {megabytes:.1} MB"))?;
        Ok(Some(Self { train, eval }))
    }

    /// The predictions of the evaluated samples; `None` if their features are not cached.
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

/// The backbone features of every sample of a dataset, pooled as far as the classifier permits.
pub(crate) struct CachedFeatures {
    /// The values, sample by sample.
    values: Vec<f32>,
    /// The shape of one sample's features.
    shape: Vec<usize>,
    /// The backbone's layers that draw random numbers in training.
    pub draws: u64,
}

impl CachedFeatures {
    /// `None` if random numbers were drawn or a sample could not be read: another epoch may then differ.
    fn of(model: &dyn Model, loader: &Loader, mode: impl Fn() -> Mode) -> Result<Option<Self>> {
        let mut features = CachedFeatures { values: Vec::new(), shape: Vec::new(), draws: 0 };
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

/// The batches of an epoch from batch `skip_batches` on, without their pixels if features are cached.
pub(crate) fn batches<'a>(
    loader: &'a Loader,
    probe: Option<&LinearProbe>,
    (epoch, skip_batches): (u64, u64),
) -> Box<dyn Iterator<Item = Result<Batch>> + 'a> {
    match probe {
        Some(_) => Box::new(loader.epoch_without_pixels(epoch, skip_batches as usize).map(|batch| Ok(batch?))),
        None => Box::new(loader.epoch(epoch, skip_batches as usize).map(|batch| Ok(batch?))),
    }
}
