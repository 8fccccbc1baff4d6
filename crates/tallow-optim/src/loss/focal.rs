//! Focal loss: easy samples weigh less.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, check, class_weights, not_negative};

/// `loss.name = "focal"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FocalConfig {
    /// The function that gives the probabilities.
    pub kind: FocalKind,
    /// The focusing parameter γ, 0 (no focusing) or more: easy samples weigh less.
    pub gamma: f64,
    /// Under `sigmoid`, the weight of positives, 0 to 1, where negatives have the rest; under `softmax`, a factor of the loss.
    /// No weighting if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Under `softmax`, the weight α of each class; equal if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f32>>,
    /// Under `sigmoid`, whether the losses of a sample's classes are summed instead of averaged.
    pub sum_classes: bool,
}

impl Default for FocalConfig {
    fn default() -> Self {
        Self { kind: FocalKind::Softmax, gamma: 2.0, alpha: None, class_weights: None, sum_classes: false }
    }
}

/// The function that gives the probabilities of a focal loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FocalKind {
    /// The softmax over all classes, for one label per sample.
    Softmax,
    /// One sigmoid per class.
    Sigmoid,
}

impl LossOptions for FocalConfig {
    fn validate(&self) -> Validity {
        let sigmoid = self.kind == FocalKind::Sigmoid;
        let alpha = |alpha: f64| alpha >= 0.0 && (alpha <= 1.0 || !sigmoid) && alpha.is_finite();
        not_negative("gamma", self.gamma)
            .and(check(self.alpha.is_none_or(alpha), "alpha", "0 or more, under sigmoid at most 1"))
            .and(class_weights(self.class_weights.as_deref()))
            .and(check(!sigmoid || self.class_weights.is_none(), "class_weights", "them with kind = softmax only"))
    }

    fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(Focal::new(self, context)?))
    }
}

/// `−α·(1 − p)^γ·ln p`, with `p` the probability of the target.
///
/// Soft targets are taken class by class: `−Σ t·(1 − p)^γ·ln p` under the softmax; under the sigmoid as torchvision does.
///
/// # Source
/// Lin et al. 2017; torchvision's `sigmoid_focal_loss` (reduction "mean").
#[derive(Debug, Clone)]
pub struct Focal(FocalConfig);

impl Focal {
    /// The loss with this configuration.
    ///
    /// # Errors
    /// Another number of class weights than classes.
    pub fn new(config: &FocalConfig, context: &LossContext) -> Result<Self> {
        context.check("class_weights", config.class_weights.as_deref())?;
        Ok(Self(config.clone()))
    }
}

impl Loss for Focal {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let config = &self.0;
        let rows = targets.rows(n, classes)?;
        match config.kind {
            FocalKind::Softmax => rows::mean(logits, &rows, targets.weights, |z, t, dz| {
                let weight = |c: usize| config.class_weights.as_ref().map_or(1.0, |w| f64::from(w[c]));
                let weighted: Vec<f64> = t.iter().enumerate().map(|(c, t)| t * weight(c)).collect();
                softmax_row(z, &weighted, config.gamma, config.alpha.unwrap_or(1.0), dz)
            }),
            FocalKind::Sigmoid => {
                let scale = if config.sum_classes { 1.0 } else { 1.0 / classes.max(1) as f64 };
                rows::mean(logits, &rows, targets.weights, |z, t, dz| {
                    sigmoid_row(z, t, config.gamma, config.alpha, scale, dz)
                })
            }
        }
    }
}

fn softmax_row(z: &[f64], t: &[f64], gamma: f64, alpha: f64, dz: &mut [f64]) -> f64 {
    let log_p = rows::log_softmax(z);
    let p: Vec<f64> = log_p.iter().map(|log_p| log_p.exp()).collect();
    let mut loss = 0.0;
    for (c, &t) in t.iter().enumerate().filter(|(_, t)| **t != 0.0) {
        let focus = rows::pow(1.0 - p[c], gamma);
        loss -= alpha * t * focus * log_p[c];
        // By ln p, so that nothing is divided by a probability of nothing.
        let by_log_p = alpha * t * (gamma * p[c] * rows::pow(1.0 - p[c], gamma - 1.0) * log_p[c] - focus);
        for (dz, p) in dz.iter_mut().zip(&p) {
            *dz -= by_log_p * p;
        }
        dz[c] += by_log_p;
    }
    loss
}

/// The sum over classes of a sample's sigmoid focal losses times `scale`.
pub(super) fn sigmoid_row(z: &[f64], t: &[f64], gamma: f64, alpha: Option<f64>, scale: f64, dz: &mut [f64]) -> f64 {
    let mut loss = 0.0;
    for ((&z, &t), dz) in z.iter().zip(t).zip(dz) {
        let p = rows::sigmoid(z);
        let entropy = t * rows::softplus(-z) + (1.0 - t) * rows::softplus(z);
        let missed = 1.0 - (p * t + (1.0 - p) * (1.0 - t));
        let share = scale * alpha.map_or(1.0, |alpha| alpha * t + (1.0 - alpha) * (1.0 - t));
        let focus = rows::pow(missed, gamma);
        loss += share * focus * entropy;
        let by_missed = gamma * rows::pow(missed, gamma - 1.0) * (1.0 - 2.0 * t) * p * (1.0 - p);
        *dz = share * (focus * (p - t) + by_missed * entropy);
    }
    loss
}
