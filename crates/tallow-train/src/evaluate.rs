//! Runs a model over a dataset: logits, labels and ids, from which every metric follows.

use tallow_data::Loader;
use tallow_metrics::{Evaluation, Scores, softmax};
use tallow_models::Model;
use tallow_nn::Mode;

use crate::Result;
use crate::batch::images;
use crate::config::View;

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

/// Runs `model` in evaluation mode over the samples of `loader`, in its order. With further views of each image
/// the logits are the logarithms of the mean of their probabilities.
///
/// # Errors
/// An image that cannot be read (or that the loader leaves out, if so configured); whatever the model fails with.
pub fn predict(model: &dyn Model, loader: &Loader, views: &[View]) -> Result<Predictions> {
    let dataset = loader.dataset();
    let mut predictions = Predictions { classes: dataset.class_names().len(), ..Default::default() };
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        predictions.labels.extend(batch.labels.iter().map(|&label| label as usize));
        predictions.ids.extend(batch.indices.iter().map(|&index| dataset.id(index)));
        predictions.skipped.extend_from_slice(&batch.skipped);
        let flipped = views.iter().map(|view| seen(*view, &batch.pixels, batch.shape)).collect::<Vec<_>>();
        let logits = |pixels: Vec<f32>| -> Result<Vec<f32>> {
            let logits = model.forward(&images(pixels, batch.shape)?, &Mode::eval())?;
            Ok(logits.flatten_all()?.to_vec1::<f32>()?)
        };
        let plain = logits(batch.pixels)?;
        if views.is_empty() {
            predictions.logits.extend(plain);
            continue;
        }
        let mut mean = softmax(&plain, predictions.classes)?;
        for pixels in flipped {
            let probabilities = softmax(&logits(pixels)?, predictions.classes)?;
            mean.iter_mut().zip(probabilities).for_each(|(mean, p)| *mean += p);
        }
        let count = (1 + views.len()) as f32;
        predictions.logits.extend(mean.iter().map(|p| (p / count).max(f32::MIN_POSITIVE).ln()));
    }
    Ok(predictions)
}

/// The pixels of a batch `[n, h, w, c]` as a view shows them.
fn seen(view: View, pixels: &[f32], (_, _, w, c): (usize, usize, usize, usize)) -> Vec<f32> {
    match view {
        View::HFlip => {
            pixels.chunks_exact(w * c).flat_map(|row| row.chunks_exact(c).rev().flatten().copied()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_exchanges_left_and_right() {
        let pixels: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let flipped = seen(View::HFlip, &pixels, (1, 2, 3, 2));
        assert_eq!(flipped, [4.0, 5.0, 2.0, 3.0, 0.0, 1.0, 10.0, 11.0, 8.0, 9.0, 6.0, 7.0]);
        assert_eq!(seen(View::HFlip, &flipped, (1, 2, 3, 2)), pixels);
    }
}
