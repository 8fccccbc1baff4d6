//! Out-of-fold predictions: the predictions of a cross-validation's runs on the samples that they hold out.

use tallow_data::Dataset;
use tallow_infer::{Predictions, multi_label_names, single_label_names};
use tallow_metrics::{Evaluation, Scores, argmax, evaluate_multi_label, logit};

use crate::{Error, Result};

/// Sums of probabilities, one row per sample of the whole dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfFold {
    classes: usize,
    sums: Vec<f64>,
    counts: Vec<u32>,
}

/// The mean probabilities of the samples that some fold predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanProbabilities {
    /// The samples' indices in the dataset, ascending.
    pub indices: Vec<usize>,
    /// Row-major, `indices.len() × classes`.
    pub probabilities: Vec<f32>,
    /// The samples that no fold predicted, because they cannot be read.
    pub missing: Vec<usize>,
}

impl OutOfFold {
    /// No predictions yet, of `samples` samples and `classes` classes.
    pub fn new(samples: usize, classes: usize) -> Self {
        Self { classes, sums: vec![0.0; samples * classes], counts: vec![0; samples] }
    }

    /// Adds a fold's predictions of `held_out`, indices of samples of `dataset` in this order. Samples that could not be read are
    /// missing from the predictions.
    ///
    /// # Errors
    /// Predictions of other samples; logits that are not finite.
    pub fn add(&mut self, dataset: &dyn Dataset, held_out: &[usize], predictions: &Predictions) -> Result<()> {
        let probabilities = predictions.probabilities()?;
        let mut next = 0;
        for &index in held_out {
            if predictions.ids.get(next) != Some(&dataset.id(index)) {
                continue; // not read
            }
            let row = &probabilities[next * self.classes..][..self.classes];
            let sums = &mut self.sums[index * self.classes..][..self.classes];
            sums.iter_mut().zip(row).for_each(|(sum, p)| *sum += f64::from(*p));
            self.counts[index] += 1;
            next += 1;
        }
        match predictions.ids.get(next) {
            None => Ok(()),
            Some(id) => Err(Error::Mismatch(format!("the fold has a prediction of {id}, which it does not hold out"))),
        }
    }

    /// The mean of each sample's probabilities.
    pub fn mean(&self) -> MeanProbabilities {
        let (indices, missing) = (0..self.counts.len()).partition(|index| self.counts[*index] > 0);
        let of = |index: &usize| {
            let count = f64::from(self.counts[*index]);
            self.sums[index * self.classes..][..self.classes].iter().map(move |sum| (sum / count) as f32)
        };
        let indices: Vec<usize> = indices;
        let probabilities = indices.iter().flat_map(of).collect();
        MeanProbabilities { indices, probabilities, missing }
    }
}

impl MeanProbabilities {
    /// All metrics, over all folds together.
    ///
    /// # Errors
    /// No samples.
    pub fn evaluate(&self, dataset: &dyn Dataset) -> Result<Evaluation> {
        let classes = dataset.class_names();
        if dataset.is_multi_label() {
            return Ok(evaluate_multi_label(&self.targets(dataset), &logit(&self.probabilities), classes)?);
        }
        Ok(tallow_metrics::evaluate(&self.labels(dataset), Scores::Probabilities(&self.probabilities), classes)?)
    }

    /// The names of the true and of the predicted class of each sample; for multi-label data `a|b`.
    ///
    /// # Errors
    /// A class without a name.
    pub fn names(&self, dataset: &dyn Dataset) -> Result<Vec<[String; 2]>> {
        let classes = dataset.class_names();
        if dataset.is_multi_label() {
            return Ok(multi_label_names(&self.targets(dataset), (&self.probabilities, 0.5), classes));
        }
        Ok(single_label_names(&self.labels(dataset), &argmax(&self.probabilities, classes.len())?, classes)?)
    }

    fn labels(&self, dataset: &dyn Dataset) -> Vec<usize> {
        self.indices.iter().map(|index| dataset.label(*index)).collect()
    }

    /// A 0 or 1 for each sample and class.
    fn targets(&self, dataset: &dyn Dataset) -> Vec<f32> {
        let classes = dataset.class_names().len();
        let one_hot = |label: usize| (0..classes).map(|class| f32::from(class == label)).collect();
        let of = |index: &usize| dataset.target(*index).unwrap_or_else(|| one_hot(dataset.label(*index)));
        self.indices.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use tallow_data::OpenOptions;

    use super::*;

    fn predictions(dataset: &dyn Dataset, indices: &[usize], high: usize) -> Predictions {
        let logits = indices.iter().flat_map(|_| (0..10).map(|class| if class == high { 4.0 } else { 0.0 })).collect();
        let ids = indices.iter().map(|index| dataset.id(*index)).collect();
        let labels = indices.iter().map(|index| dataset.label(*index)).collect();
        Predictions { logits, classes: 10, labels, ids, ..Default::default() }
    }

    #[test]
    fn each_sample_has_the_mean_of_its_predictions_once() {
        let splits = tallow_data::open("fashion-mnist-6k", &OpenOptions::default()).expect("the bundled images");
        let dataset = splits.train.as_ref();
        let mut oof = OutOfFold::new(6, 10);
        // Two repeats of two folds; sample 4 cannot be read.
        for (held_out, read, high) in [
            ([0, 2, 4], &[0, 2][..], 1),
            ([1, 3, 5], &[1, 3, 5], 2),
            ([0, 1, 4], &[0, 1], 3),
            ([2, 3, 5], &[2, 3, 5], 2),
        ] {
            oof.add(dataset, &held_out, &predictions(dataset, read, high)).expect("predictions of these samples");
        }
        let mean = oof.mean();
        assert_eq!((mean.indices.as_slice(), mean.missing.as_slice()), ([0, 1, 2, 3, 5].as_slice(), [4].as_slice()));
        let softmax = |logit: f64| (logit.exp() / (4f64.exp() + 9.0)) as f32;
        let (high, half, low) = (softmax(4.0), (softmax(4.0) + softmax(0.0)) / 2.0, softmax(0.0));
        let expected = |row: usize, class: usize| match ([[1, 3], [2, 3], [1, 2], [2, 2], [2, 2]][row], class) {
            ([a, b], class) if a == class && b == class => high,
            ([a, b], class) if a == class || b == class => half,
            _ => low,
        };
        for (at, p) in mean.probabilities.iter().enumerate() {
            assert!((p - expected(at / 10, at % 10)).abs() < 1e-6, "{at}: {p}");
        }
        assert_eq!(mean.evaluate(dataset).expect("an evaluation").n, 5);
    }

    #[test]
    fn predictions_of_other_samples_are_refused() {
        let splits = tallow_data::open("fashion-mnist-6k", &OpenOptions::default()).expect("the bundled images");
        let dataset = splits.train.as_ref();
        let error = OutOfFold::new(6, 10).add(dataset, &[0, 1], &predictions(dataset, &[0, 5], 1));
        assert!(matches!(&error, Err(Error::Mismatch(text)) if text.contains("train/5")), "{error:?}");
    }
}
