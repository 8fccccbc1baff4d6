//! Binary cross-entropy: one sigmoid per class, for multi-label data.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, fraction, positive};

/// `loss.name = "binary_cross_entropy"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BinaryCrossEntropyConfig {
    /// Label smoothing ε, 0 to below 1: the target of a label becomes ε/k, and 1 − ε + ε/k at the label.
    pub label_smoothing: f64,
    /// Whether soft targets are smoothed too, each towards ½; for multi-label data.
    pub smooth_dense: bool,
    /// Targets above this become 1, all others 0; unchanged if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_threshold: Option<f64>,
    /// Whether the losses of a sample's classes are summed instead of averaged.
    pub sum_classes: bool,
    /// The weight of the positive term of every class, above 0.
    pub pos_weight: f64,
}

impl Default for BinaryCrossEntropyConfig {
    fn default() -> Self {
        Self { label_smoothing: 0.0, smooth_dense: false, target_threshold: None, sum_classes: false, pos_weight: 1.0 }
    }
}

impl LossOptions for BinaryCrossEntropyConfig {
    fn validate(&self) -> Validity {
        fraction("label_smoothing", self.label_smoothing)
            .and(positive("pos_weight", self.pos_weight))
            .and(self.target_threshold.map_or(Ok(()), |threshold| fraction("target_threshold", threshold)))
    }

    fn build(&self, _: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(BinaryCrossEntropy::new(self)))
    }
}

/// `−w·t·ln σ(z) − (1 − t)·ln σ(−z)`, the mean over classes (or their sum) and over the batch.
///
/// # Source
/// Wightman et al. 2021 (ResNet strikes back); timm's `BinaryCrossEntropy`.
#[derive(Debug, Clone)]
pub struct BinaryCrossEntropy(BinaryCrossEntropyConfig);

impl BinaryCrossEntropy {
    /// The loss with this configuration.
    pub fn new(config: &BinaryCrossEntropyConfig) -> Self {
        Self(config.clone())
    }
}

impl Loss for BinaryCrossEntropy {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let config = &self.0;
        let mut rows = match targets.soft {
            None => rows::smoothed(targets, n, classes, config.label_smoothing)?,
            Some(_) => targets.rows(n, classes)?,
        };
        if targets.soft.is_some() && config.smooth_dense {
            let smoothing = config.label_smoothing as f32;
            rows.iter_mut().for_each(|target| *target = *target * (1.0 - smoothing) + 0.5 * smoothing);
        }
        if let Some(threshold) = config.target_threshold {
            rows.iter_mut().for_each(|target| *target = f32::from(f64::from(*target) > threshold));
        }
        let scale = if config.sum_classes { 1.0 } else { 1.0 / classes.max(1) as f64 };
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let mut loss = 0.0;
            for ((&z, &t), dz) in z.iter().zip(t).zip(dz) {
                let (on, off) = (config.pos_weight * t, 1.0 - t);
                loss += on * rows::softplus(-z) + off * rows::softplus(z);
                let p = rows::sigmoid(z);
                *dz = scale * (off * p - on * (1.0 - p));
            }
            scale * loss
        })
    }
}
