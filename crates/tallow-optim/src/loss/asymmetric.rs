//! Asymmetric losses: easy negatives weigh less than easy positives, for data with few positives among many classes.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, fraction, not_negative, positive};

/// `loss.name = "asymmetric_multi_label"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AsymmetricMultiLabelConfig {
    /// γ of the negatives, 0 or more.
    pub gamma_neg: f64,
    /// γ of the positives, 0 or more.
    pub gamma_pos: f64,
    /// The probability margin, 0 to below 1: it is subtracted from the probabilities of negatives, and negatives below it are
    /// ignored.
    pub clip: f64,
    /// The lower bound of probabilities in logarithms, above 0.
    pub eps: f64,
    /// Label smoothing towards ½, 0 to below 1.
    pub label_smoothing: f64,
}

impl Default for AsymmetricMultiLabelConfig {
    fn default() -> Self {
        Self { gamma_neg: 4.0, gamma_pos: 1.0, clip: 0.05, eps: 1e-8, label_smoothing: 0.0 }
    }
}

impl LossOptions for AsymmetricMultiLabelConfig {
    fn validate(&self) -> Validity {
        not_negative("gamma_neg", self.gamma_neg)
            .and(not_negative("gamma_pos", self.gamma_pos))
            .and(fraction("clip", self.clip))
            .and(positive("eps", self.eps))
            .and(fraction("label_smoothing", self.label_smoothing))
    }

    fn build(&self, _: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(AsymmetricMultiLabel::new(self)))
    }
}

/// `−(1 − p)^γ·ln p` for positives, and the same with the reduced probability for negatives, summed over classes.
///
/// # Source
/// Ben-Baruch et al. 2021; timm's `AsymmetricLossMultiLabel` (reduction "batchmean").
#[derive(Debug, Clone)]
pub struct AsymmetricMultiLabel(AsymmetricMultiLabelConfig);

impl AsymmetricMultiLabel {
    /// The loss with this configuration.
    pub fn new(config: &AsymmetricMultiLabelConfig) -> Self {
        Self(config.clone())
    }
}

impl Loss for AsymmetricMultiLabel {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let AsymmetricMultiLabelConfig { gamma_neg, gamma_pos, clip, eps, label_smoothing } = self.0;
        let rows = targets.rows(n, classes)?;
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let mut loss = 0.0;
            for ((&z, &t), dz) in z.iter().zip(t).zip(dz) {
                let t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing;
                let p = rows::sigmoid(z);
                let shifted = 1.0 - p + clip;
                let (q, by_q) = if clip > 0.0 && shifted > 1.0 { (1.0, 0.0) } else { (shifted, -1.0) };
                let log = |x: f64| if x >= eps { (x.ln(), 1.0 / x) } else { (eps.ln(), 0.0) };
                let ((log_p, by_p), (log_q, by_log_q)) = (log(p), log(q));
                let entropy = t * log_p + (1.0 - t) * log_q;
                let by_entropy = t * by_p + (1.0 - t) * by_q * by_log_q;
                let gamma = gamma_pos * t + gamma_neg * (1.0 - t);
                let missed = 1.0 - (p * t + q * (1.0 - t));
                let focus = rows::pow(missed, gamma);
                let by_focus = -gamma * rows::pow(missed, gamma - 1.0) * (t + (1.0 - t) * by_q);
                loss -= focus * entropy;
                *dz = -(focus * by_entropy + by_focus * entropy) * p * (1.0 - p);
            }
            loss
        })
    }
}

/// `loss.name = "asymmetric_single_label"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AsymmetricSingleLabelConfig {
    /// γ of the label, 0 or more.
    pub gamma_pos: f64,
    /// γ of the other classes, 0 or more.
    pub gamma_neg: f64,
    /// Label smoothing: the fraction of the target that is spread over all classes, 0 to below 1.
    pub label_smoothing: f64,
}

impl Default for AsymmetricSingleLabelConfig {
    fn default() -> Self {
        Self { gamma_pos: 1.0, gamma_neg: 4.0, label_smoothing: 0.1 }
    }
}

impl LossOptions for AsymmetricSingleLabelConfig {
    fn validate(&self) -> Validity {
        not_negative("gamma_pos", self.gamma_pos)
            .and(not_negative("gamma_neg", self.gamma_neg))
            .and(fraction("label_smoothing", self.label_smoothing))
    }

    fn build(&self, _: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(AsymmetricSingleLabel::new(self)))
    }
}

/// `−Σ t'·w·ln p` over the softmax, `w = (1 − p)^γ` at the label and `p^γ` elsewhere.
///
/// # Source
/// Ben-Baruch et al. 2021; timm's `AsymmetricLossSingleLabel`. A soft target is replaced by its likeliest class, because the
/// weights need one.
#[derive(Debug, Clone)]
pub struct AsymmetricSingleLabel(AsymmetricSingleLabelConfig);

impl AsymmetricSingleLabel {
    /// The loss with this configuration.
    pub fn new(config: &AsymmetricSingleLabelConfig) -> Self {
        Self(config.clone())
    }
}

impl Loss for AsymmetricSingleLabel {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let AsymmetricSingleLabelConfig { gamma_pos, gamma_neg, label_smoothing } = self.0;
        let rows = Targets { soft: None, ..targets }.rows(n, classes)?;
        rows::mean(logits, &rows, targets.weights, |z, t, dz| {
            let log_p = rows::log_softmax(z);
            let p: Vec<f64> = log_p.iter().map(|log_p| log_p.exp()).collect();
            let mut loss = 0.0;
            let mut by_log_p = vec![0.0; z.len()];
            for (c, &t) in t.iter().enumerate() {
                let target = t * (1.0 - label_smoothing) + label_smoothing / classes as f64;
                let (missed, sign, gamma) =
                    if t > 0.0 { (1.0 - p[c], -1.0, gamma_pos) } else { (p[c], 1.0, gamma_neg) };
                let weight = rows::pow(missed, gamma);
                loss -= target * weight * log_p[c];
                let by_weight = sign * gamma * rows::pow(missed, gamma - 1.0) * p[c];
                by_log_p[c] = -target * (weight + by_weight * log_p[c]);
            }
            let total: f64 = by_log_p.iter().sum();
            for (c, dz) in dz.iter_mut().enumerate() {
                *dz = by_log_p[c] - p[c] * total;
            }
            loss
        })
    }
}
