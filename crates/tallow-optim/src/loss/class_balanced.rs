//! Class-balanced loss: classes are weighted by the inverse of their effective number of samples.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, focal, rows};
use crate::Result;
use crate::validity::{Validity, fraction, not_negative};

/// `loss.name = "class_balanced"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ClassBalancedConfig {
    /// The parameter β of the effective number of samples, 0 (equal weights) to below 1 (towards 1: weights by the inverse
    /// class frequency).
    pub beta: f64,
    /// The loss that is weighted.
    pub base: BalancedBase,
    /// γ of the focal loss, 0 or more.
    pub gamma: f64,
    /// Label smoothing of the cross-entropy, 0 to below 1.
    pub label_smoothing: f64,
}

impl Default for ClassBalancedConfig {
    fn default() -> Self {
        Self { beta: 0.9999, base: BalancedBase::CrossEntropy, gamma: 2.0, label_smoothing: 0.0 }
    }
}

/// The loss under a class-balanced one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BalancedBase {
    /// Cross-entropy of the softmax.
    CrossEntropy,
    /// Focal loss of one sigmoid per class, summed over classes.
    Focal,
    /// Binary cross-entropy of one sigmoid per class, summed over classes.
    BinaryCrossEntropy,
}

impl LossOptions for ClassBalancedConfig {
    fn validate(&self) -> Validity {
        fraction("beta", self.beta)
            .and(not_negative("gamma", self.gamma))
            .and(fraction("label_smoothing", self.label_smoothing))
    }

    fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(ClassBalanced::new(self, context)?))
    }
}

/// The mean over the batch of `w(label) · base`, with `w = (1 − β) / (1 − β^n)` scaled to a mean of 1 over classes; `n`
/// is the class's number of training samples. A soft target's weight is the mean by its probabilities.
///
/// # Source
/// Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples".
#[derive(Debug, Clone)]
pub struct ClassBalanced {
    config: ClassBalancedConfig,
    weights: Vec<f64>,
}

impl ClassBalanced {
    /// The loss for the class counts of `context`.
    ///
    /// # Errors
    /// Unknown class counts.
    pub fn new(config: &ClassBalancedConfig, context: &LossContext) -> Result<Self> {
        Ok(Self { config: config.clone(), weights: effective_weights(config.beta, context.counts("class_balanced")?) })
    }
}

/// `(1 − β) / (1 − β^n)` of each class, scaled to a mean of 1. A class without samples counts as one with a single one.
pub(super) fn effective_weights(beta: f64, counts: &[usize]) -> Vec<f64> {
    let weights: Vec<f64> = counts.iter().map(|&n| (1.0 - beta) / (1.0 - beta.powf(n.max(1) as f64))).collect();
    let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    weights.iter().map(|weight| weight / mean).collect()
}

impl Loss for ClassBalanced {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let ClassBalancedConfig { base, gamma, label_smoothing, .. } = self.config;
        super::check_classes(self.weights.len(), classes)?;
        let rows = targets.rows(n, classes)?;
        let rest = label_smoothing / classes.max(1) as f64;
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let weight: f64 = t.iter().zip(&self.weights).map(|(t, w)| t * w).sum();
            match base {
                BalancedBase::CrossEntropy => {
                    let t: Vec<f64> = t.iter().map(|t| t * (1.0 - label_smoothing) + rest).collect();
                    rows::cross_entropy(&rows::log_softmax(z), &t, weight, dz)
                }
                BalancedBase::Focal => focal::sigmoid_row(z, t, gamma, None, weight, dz),
                BalancedBase::BinaryCrossEntropy => focal::sigmoid_row(z, t, 0.0, None, weight, dz),
            }
        })
    }
}
