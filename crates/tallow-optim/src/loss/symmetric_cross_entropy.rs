//! Symmetric cross-entropy: cross-entropy plus reverse cross-entropy, for noisy labels.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, not_negative};

/// The lower bounds of probabilities and of targets in logarithms, as in the paper's code.
const LOWEST_P: f64 = 1e-7;
const LOWEST_T: f64 = 1e-4;

/// `loss.name = "symmetric_cross_entropy"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SymmetricCrossEntropyConfig {
    /// The weight of the cross-entropy, 0 or more.
    pub alpha: f64,
    /// The weight of the reverse cross-entropy, 0 or more.
    pub beta: f64,
}

impl Default for SymmetricCrossEntropyConfig {
    fn default() -> Self {
        Self { alpha: 0.1, beta: 1.0 }
    }
}

impl LossOptions for SymmetricCrossEntropyConfig {
    fn validate(&self) -> Validity {
        not_negative("alpha", self.alpha).and(not_negative("beta", self.beta))
    }

    fn build(&self, _: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(SymmetricCrossEntropy::new(self)))
    }
}

/// `−α·Σ t·ln p − β·Σ p·ln t`, with `ln 0` for ln 1e-4.
///
/// # Source
/// Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels"; α and β are theirs for CIFAR-10.
#[derive(Debug, Clone)]
pub struct SymmetricCrossEntropy(SymmetricCrossEntropyConfig);

impl SymmetricCrossEntropy {
    /// The loss with this configuration.
    pub fn new(config: &SymmetricCrossEntropyConfig) -> Self {
        Self(config.clone())
    }
}

impl Loss for SymmetricCrossEntropy {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let SymmetricCrossEntropyConfig { alpha, beta } = self.0;
        let rows = targets.rows(n, classes)?;
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let log_p = rows::log_softmax(z);
            let p: Vec<f64> = log_p.iter().map(|log_p| log_p.exp()).collect();
            let mut reverse = 0.0;
            for ((p, t), dz) in p.iter().zip(t).zip(dz.iter_mut()) {
                let log_t = t.clamp(LOWEST_T, 1.0).ln();
                reverse -= p.max(LOWEST_P) * log_t;
                *dz = if *p >= LOWEST_P { -beta * log_t } else { 0.0 };
            }
            rows::through_softmax(&p, dz);
            rows::cross_entropy(&log_p, t, alpha, dz) + beta * reverse
        })
    }
}
