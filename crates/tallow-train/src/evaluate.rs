//! Runs a model over a dataset: logits, labels and ids, from which every metric follows.

use tallow_data::Loader;
use tallow_metrics::{Evaluation, Scores, evaluate_multi_label, sigmoid, softmax};
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
    /// The true classes; where several can hold at once, the first of each.
    pub labels: Vec<usize>,
    /// Where several classes can hold at once, a 0 or 1 for each: row-major, `n × classes`. Else empty.
    pub targets: Vec<f32>,
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
        if self.is_multi_label() {
            return Ok(evaluate_multi_label(&self.targets, &self.logits, class_names)?);
        }
        Ok(tallow_metrics::evaluate(&self.labels, Scores::Logits(&self.logits), class_names)?)
    }

    /// Whether several classes can hold at once.
    pub fn is_multi_label(&self) -> bool {
        !self.targets.is_empty()
    }

    /// The probabilities, row-major, `n × classes`: those of a row add up to 1, but where several classes can hold at once.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn probabilities(&self) -> Result<Vec<f32>> {
        if self.is_multi_label() {
            return Ok(sigmoid(&self.logits));
        }
        Ok(softmax(&self.logits, self.classes)?)
    }

    /// The names of what sample `row` is and of what it was taken for: classes, `a|b` where several can hold at once.
    pub fn names(&self, row: usize, class_names: &[String]) -> [String; 2] {
        let range = row * self.classes..(row + 1) * self.classes;
        let logits = &self.logits[range.clone()];
        if self.is_multi_label() {
            let joined = |values: &[f32], above: f32| {
                let holding = class_names.iter().zip(values).filter(|(_, value)| **value > above);
                holding.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("|")
            };
            return [joined(&self.targets[range], 0.5), joined(logits, 0.0)];
        }
        let highest = (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
        [class_names[self.labels[row]].clone(), class_names[highest].clone()]
    }
}

/// Runs `model` in evaluation mode over the samples of `loader`, in its order. With further views of each image
/// the logits are the logarithms of the mean of their probabilities; where several classes can hold at once, their mean.
///
/// # Errors
/// An image that cannot be read (or that the loader leaves out, if so configured); whatever the model fails with.
pub fn predict(model: &dyn Model, loader: &Loader, views: &[View]) -> Result<Predictions> {
    let dataset = loader.dataset();
    let multi_label = dataset.is_multi_label();
    let mut predictions = Predictions { classes: dataset.class_names().len(), ..Default::default() };
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        predictions.labels.extend(batch.labels.iter().map(|&label| label as usize));
        predictions.ids.extend(batch.indices.iter().map(|&index| dataset.id(index)));
        predictions.skipped.extend_from_slice(&batch.skipped);
        if multi_label {
            let one_hot = || {
                let k = predictions.classes;
                let of = |&label: &u32| (0..k).map(move |class| f32::from(class == label as usize));
                batch.labels.iter().flat_map(of).collect()
            };
            predictions.targets.extend(batch.targets.clone().unwrap_or_else(one_hot));
        }
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
        let scores = |logits: Vec<f32>| if multi_label { Ok(logits) } else { softmax(&logits, predictions.classes) };
        let mut mean = scores(plain)?;
        for pixels in flipped {
            mean.iter_mut().zip(scores(logits(pixels)?)?).for_each(|(mean, p)| *mean += p);
        }
        let count = (1 + views.len()) as f32;
        if multi_label {
            predictions.logits.extend(mean.iter().map(|x| x / count));
            continue;
        }
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
