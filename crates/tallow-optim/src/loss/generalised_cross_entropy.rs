//! Generalised cross-entropy: between cross-entropy and the mean absolute error, for noisy labels.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, check};

/// `loss.name = "generalised_cross_entropy"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct GeneralisedCrossEntropyConfig {
    /// Above 0 (towards cross-entropy) and at most 1 (the mean absolute error).
    pub q: f64,
}

impl Default for GeneralisedCrossEntropyConfig {
    fn default() -> Self {
        Self { q: 0.7 }
    }
}

impl LossOptions for GeneralisedCrossEntropyConfig {
    fn validate(&self) -> Validity {
        check(self.q > 0.0 && self.q <= 1.0, "q", "a number above 0 and at most 1")
    }

    fn build(&self, _: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(GeneralisedCrossEntropy::new(self)))
    }
}

/// `(1 − p^q) / q`, weighted by a soft target.
///
/// # Source
/// Zhang & Sabuncu 2018, without truncation.
#[derive(Debug, Clone)]
pub struct GeneralisedCrossEntropy(GeneralisedCrossEntropyConfig);

impl GeneralisedCrossEntropy {
    /// The loss with this configuration.
    pub fn new(config: &GeneralisedCrossEntropyConfig) -> Self {
        Self(config.clone())
    }
}

impl Loss for GeneralisedCrossEntropy {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let q = self.0.q;
        let rows = targets.rows(n, classes)?;
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let log_p = rows::log_softmax(z);
            let mut loss = 0.0;
            let mut total = 0.0;
            for ((log_p, t), dz) in log_p.iter().zip(t).zip(dz.iter_mut()) {
                let power = (q * log_p).exp();
                loss += t * (1.0 - power) / q;
                *dz = -t * power;
                total += *dz;
            }
            for (log_p, dz) in log_p.iter().zip(dz) {
                *dz -= log_p.exp() * total;
            }
            loss
        })
    }
}
