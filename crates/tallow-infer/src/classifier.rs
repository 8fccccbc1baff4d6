//! A model with its classes and its preprocessing: the one way from pictures to scores.

use std::sync::Arc;

use candle_core::Tensor;
use image::DynamicImage;
use rayon::prelude::*;
use tallow_augment::{Pipeline, rng};
use tallow_data::Loader;
use tallow_metrics::{sigmoid, softmax};
use tallow_models::BuiltModel;
use tallow_nn::keep_packed_weights;

use crate::batch::images as to_tensor;
use crate::test_time::ViewSum;
use crate::{Error, Features, Predictions, Result, TestTime, embed, predict};

/// The default number of images that go through a model together.
const BATCH_SIZE: usize = 500;

/// A model with its classes and its preprocessing.
pub struct Classifier {
    /// The model.
    pub built: BuiltModel,
    /// The class names in the order of the logits.
    pub classes: Vec<String>,
    /// The preprocessing of each image.
    pub pipeline: Arc<Pipeline>,
    /// Whether several classes can hold for an image: probabilities are then sigmoids instead of a softmax.
    pub multi_label: bool,
    /// Images that go through the model together at most, 1 or more. Changes memory and speed, never results.
    pub batch_size: usize,
    /// The views of each image whose scores are averaged.
    pub views: TestTime,
}

impl Classifier {
    /// A classifier of one label per image, without test-time augmentation.
    pub fn new(built: BuiltModel, classes: Vec<String>, pipeline: Arc<Pipeline>) -> Self {
        let views = TestTime::default();
        Self { built, classes, pipeline, multi_label: false, batch_size: BATCH_SIZE, views }
    }

    /// The probability of each class for each image.
    ///
    /// # Shapes
    /// Row-major, `images × classes`. Images have any size and any number of channels.
    ///
    /// # Errors
    /// An image that the preprocessing refuses; an error of the model.
    pub fn probabilities(&self, images: &[DynamicImage]) -> Result<Vec<f32>> {
        let logits = self.logits(images)?;
        if self.multi_label { Ok(sigmoid(&logits)) } else { Ok(softmax(&logits, self.classes.len())?) }
    }

    /// The logits of each image: those of [`predictions`](Self::predictions).
    ///
    /// # Shapes
    /// Row-major, `images × classes`.
    ///
    /// # Errors
    /// As [`probabilities`](Self::probabilities).
    pub fn logits(&self, images: &[DynamicImage]) -> Result<Vec<f32>> {
        let _kept = keep_packed_weights();
        let mut logits = Vec::with_capacity(images.len() * self.classes.len());
        let mut first = 0;
        for chunk in images.chunks(self.batch_size.max(1)) {
            let mut sum = ViewSum::new(&self.views, self.multi_label, self.classes.len());
            for pipeline in [&self.pipeline].into_iter().chain(&self.views.crops) {
                let (height, width, channels) = pipeline.output_shape();
                let pixels = preprocess(chunk, pipeline, first)?;
                sum.add(self.built.model.as_ref(), pixels, (chunk.len(), height, width, channels), 0)?;
            }
            logits.extend(sum.into_logits());
            first += chunk.len();
        }
        Ok(logits)
    }

    /// The logits of every sample of a loader.
    ///
    /// # Errors
    /// The errors of [`predict`].
    pub fn predictions(&self, loader: &Loader) -> Result<Predictions> {
        predict(self.built.model.as_ref(), loader, &self.views)
    }

    /// The backbone's features of every sample of a loader.
    ///
    /// # Errors
    /// The errors of [`embed`](fn@embed).
    pub fn features(&self, loader: &Loader) -> Result<Features> {
        embed(&self.built, loader)
    }

    /// The images of a loader as the model sees them, `[n, c, h, w]` per batch.
    ///
    /// # Errors
    /// In the iterator, an image that cannot be read.
    pub fn batches(loader: Loader) -> impl Iterator<Item = Result<Tensor>> {
        loader.epoch(0, 0).map(|batch| {
            let batch = batch?;
            to_tensor(batch.pixels, batch.shape)
        })
    }
}

/// The pixels of images after a pipeline, `[n, h, w, c]`, in parallel. `first` is the index of the first image, for errors.
fn preprocess(images: &[DynamicImage], pipeline: &Pipeline, first: usize) -> Result<Vec<f32>> {
    let len = pipeline.output_len();
    let mut pixels = vec![0.0; images.len() * len];
    pixels.par_chunks_mut(len.max(1)).zip(images.par_iter()).enumerate().try_for_each(|(at, (pixels, image))| {
        // The pipeline of evaluation draws no random numbers, and takes each image by value: one copy at a time.
        let applied = pipeline.apply(image.clone(), &mut rng::keyed(0, 0, at as u64, rng::AUGMENT), pixels);
        applied.map_err(|source| Error::Image { index: first + at, source })
    })?;
    Ok(pixels)
}
