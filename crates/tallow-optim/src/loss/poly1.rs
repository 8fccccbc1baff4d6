//! Poly-1: cross-entropy with a larger first polynomial coefficient.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, check, fraction};

/// `loss.name = "poly1"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Poly1Config {
    /// The increase of the coefficient of `1 − p`, −1 or more.
    pub epsilon: f64,
    /// Label smoothing: the fraction of the target that is spread over all classes, 0 to below 1.
    pub label_smoothing: f64,
}

impl Default for Poly1Config {
    fn default() -> Self {
        Self { epsilon: 1.0, label_smoothing: 0.0 }
    }
}

impl LossOptions for Poly1Config {
    fn validate(&self) -> Validity {
        check(self.epsilon >= -1.0 && self.epsilon.is_finite(), "epsilon", "a number from -1 up")
            .and(fraction("label_smoothing", self.label_smoothing))
    }

    fn build(&self, _: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(Poly1::new(self)))
    }
}

/// `−Σ t·ln p + ε·(1 − Σ t·p)`, both with the smoothed target.
///
/// # Source
/// Leng et al. 2022, "PolyLoss", its appendix's code.
#[derive(Debug, Clone)]
pub struct Poly1(Poly1Config);

impl Poly1 {
    /// The loss with this configuration.
    pub fn new(config: &Poly1Config) -> Self {
        Self(config.clone())
    }
}

impl Loss for Poly1 {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let Poly1Config { epsilon, label_smoothing } = self.0;
        let rows = rows::smoothed(targets, n, classes, label_smoothing)?;
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let log_p = rows::log_softmax(z);
            let p: Vec<f64> = log_p.iter().map(|log_p| log_p.exp()).collect();
            let hit: f64 = t.iter().zip(&p).map(|(t, p)| t * p).sum();
            dz.copy_from_slice(t);
            dz.iter_mut().for_each(|dz| *dz *= -epsilon);
            rows::through_softmax(&p, dz);
            rows::cross_entropy(&log_p, t, 1.0, dz) + epsilon * (1.0 - hit)
        })
    }
}
