//! Cross-entropy of the softmax, with label smoothing and class weights.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::op::cross_entropy;

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, class_weights, fraction};

/// `loss.name = "cross_entropy"`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropyConfig {
    /// Label smoothing ε: the fraction of the target that is spread over all classes, 0 to below 1.
    pub label_smoothing: f64,
    /// The weight of each class, 0 or more; equal if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f32>>,
}

impl LossOptions for CrossEntropyConfig {
    fn validate(&self) -> Validity {
        fraction("label_smoothing", self.label_smoothing).and(class_weights(self.class_weights.as_deref()))
    }

    fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(CrossEntropy::new(self, context)?))
    }
}

/// The mean over the batch of `−Σ target · log softmax(logits)`, with `target = (1 − ε)·onehot(label) + ε/k`.
///
/// With class weights `w`: `−Σ w·target·log softmax(logits)`, divided by the sum of the labels' weights; with soft
/// targets by the batch size, as PyTorch does.
///
/// # Source
/// Szegedy et al. 2016 (label smoothing); PyTorch's `CrossEntropyLoss(weight=w, label_smoothing=ε)`.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    label_smoothing: f64,
    class_weights: Option<Vec<f32>>,
}

impl CrossEntropy {
    /// The loss with this configuration.
    ///
    /// # Errors
    /// Another number of class weights than classes.
    pub fn new(config: &CrossEntropyConfig, context: &LossContext) -> Result<Self> {
        context.check("class_weights", config.class_weights.as_deref())?;
        Ok(Self { label_smoothing: config.label_smoothing, class_weights: config.class_weights.clone() })
    }
}

impl Loss for CrossEntropy {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        weighted(logits, targets, self.label_smoothing, self.class_weights.as_deref())
    }
}

/// The cross-entropy by the fused kernel. A sample's loss is linear in its target: weights go into the target.
pub(super) fn weighted(
    logits: &Tensor,
    targets: Targets<'_>,
    label_smoothing: f64,
    class_weights: Option<&[f32]>,
) -> Result<Tensor> {
    let (n, classes) = logits.dims2()?;
    let mut rows = rows::smoothed(targets, n, classes, label_smoothing)?;
    let by_label = class_weights.filter(|_| targets.soft.is_none());
    let count = |i: usize| {
        let label = by_label.map_or(1.0, |weights| weights[targets.labels[i] as usize]);
        f64::from(targets.weights.map_or(1.0, |weights| weights[i]) * label)
    };
    if targets.weights.is_some() || class_weights.is_some() {
        let mean = ((0..n).map(count).sum::<f64>() / n.max(1) as f64).max(f64::from(f32::MIN_POSITIVE)) as f32;
        for (i, row) in rows.chunks_mut(classes.max(1)).enumerate() {
            let sample = targets.weights.map_or(1.0, |weights| weights[i]) / mean;
            for (c, target) in row.iter_mut().enumerate() {
                *target *= sample * class_weights.map_or(1.0, |weights| weights[c]);
            }
        }
    }
    let targets = Tensor::from_vec(rows, (n, classes), logits.device())?;
    Ok(cross_entropy(logits, &targets)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::Error;

    fn loss(labels: &[u32]) -> Result<f32> {
        let logits = Tensor::new(&[[1f32, 2.0, -1.0], [0.5, 0.0, 3.0]], &Device::Cpu)?;
        let loss = CrossEntropy::new(&CrossEntropyConfig::default(), &LossContext::default())?;
        Ok(loss.loss(&logits, Targets::of_labels(labels))?.to_scalar()?)
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        assert!(matches!(loss(&[0, 3]), Err(Error::Labels { .. })));
        assert!(matches!(loss(&[0]), Err(Error::Labels { .. })));
    }

    #[test]
    fn class_weights_need_one_a_class() {
        let config = CrossEntropyConfig { class_weights: Some(vec![1.0, 2.0]), ..Default::default() };
        let refused = CrossEntropy::new(&config, &LossContext { class_counts: vec![1, 2, 3] });
        assert!(matches!(&refused, Err(Error::PerClass { key: "class_weights", .. })), "{refused:?}");
    }
}
