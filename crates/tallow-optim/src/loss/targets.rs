//! The targets of a batch.

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// The targets of a batch of `n` samples.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// The class of each sample; of a mixed image (Mixup, CutMix) the class with the larger share.
    pub labels: &'a [u32],
    /// `[n, k]`, where one class does not describe the target: the probabilities of soft labels and of mixed images, or
    /// 0 and 1 for each class of multi-label data.
    pub soft: Option<&'a [f32]>,
    /// The weight of each sample in the mean, 0 or more; all equal if absent.
    pub weights: Option<&'a [f32]>,
}

impl<'a> Targets<'a> {
    /// One class per sample, all with the same weight.
    pub fn of_labels(labels: &'a [u32]) -> Self {
        Self { labels, soft: None, weights: None }
    }

    /// The targets as rows of `classes` numbers, flat: `soft` itself, or 1 at the label and 0 elsewhere.
    ///
    /// # Errors
    /// Other than `n` labels, `n × classes` soft targets or `n` weights; a label that is not below `classes`.
    pub fn rows(&self, n: usize, classes: usize) -> Result<Vec<f32>> {
        let count = |what: &str, expected: usize, found: usize| match expected == found {
            true => Ok(()),
            false => Err(Error::Labels { expected: format!("{expected} {what}"), found: found.to_string() }),
        };
        count("labels", n, self.labels.len())?;
        if let Some(weights) = self.weights {
            count("weights", n, weights.len())?;
        }
        if let Some(soft) = self.soft {
            count("targets", n * classes, soft.len())?;
            return Ok(soft.to_vec());
        }
        let mut rows = vec![0.0; n * classes];
        for (row, &label) in self.labels.iter().enumerate() {
            if label as usize >= classes {
                let expected = format!("labels below {classes}, the model's class count");
                return Err(Error::Labels { expected, found: label.to_string() });
            }
            rows[row * classes + label as usize] = 1.0;
        }
        Ok(rows)
    }

    /// The weights as `[n]`, scaled so that they add up to `n`: a mean of losses times these is the weighted mean.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn mean_weights(&self, device: &Device) -> Result<Option<Tensor>> {
        let Some(weights) = self.weights else { return Ok(None) };
        let mean = weights.iter().sum::<f32>() / weights.len().max(1) as f32;
        let scaled: Vec<f32> = weights.iter().map(|weight| weight / mean.max(f32::MIN_POSITIVE)).collect();
        Ok(Some(Tensor::from_vec(scaled, weights.len(), device)?))
    }
}
