//! Runs a model over a dataset: logits, labels and ids, from which every metric follows.

use tallow_data::Loader;
use tallow_metrics::{Evaluation, Scores};
use tallow_models::Model;
use tallow_nn::Mode;

use crate::Result;
use crate::batch::images;

/// What a model says of every sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Row-major, `n × classes`.
    pub logits: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
    /// The true classes.
    pub labels: Vec<usize>,
    /// What names each sample: its path, or "test/123".
    pub ids: Vec<String>,
    /// Images that could not be read and were left out.
    pub skipped: Vec<String>,
}

impl Predictions {
    /// Every metric of these predictions.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn evaluate(&self, class_names: &[String]) -> Result<Evaluation> {
        Ok(tallow_metrics::evaluate(&self.labels, Scores::Logits(&self.logits), class_names)?)
    }
}

/// Runs `model` in evaluation mode over the samples of `loader`, in its order.
///
/// # Errors
/// An image that cannot be read (or that the loader leaves out, if so configured); whatever the model fails with.
pub fn predict(model: &dyn Model, loader: &Loader) -> Result<Predictions> {
    let dataset = loader.dataset();
    let mut predictions = Predictions { classes: dataset.class_names().len(), ..Default::default() };
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        predictions.labels.extend(batch.labels.iter().map(|&label| label as usize));
        predictions.ids.extend(batch.indices.iter().map(|&index| dataset.id(index)));
        predictions.skipped.extend_from_slice(&batch.skipped);
        let logits = model.forward(&images(batch.pixels, batch.shape)?, &Mode::eval())?;
        predictions.logits.extend(logits.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(predictions)
}
