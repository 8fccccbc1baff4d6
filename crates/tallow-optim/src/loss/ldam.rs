//! LDAM: cross-entropy with a margin for each class, wider for rarer classes.

use std::cell::Cell;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::class_balanced::effective_weights;
use super::{Loss, LossContext, LossOptions, Targets, rows};
use crate::Result;
use crate::validity::{Validity, fraction, positive};

/// `loss.name = "ldam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LdamConfig {
    /// The margin of the rarest class, above 0.
    pub max_margin: f64,
    /// The factor of the logits after the margin, above 0. The paper's 30 is for cosines (a normalised classifier);
    /// 1 suits a plain linear one.
    pub scale: f64,
    /// The epoch, counted from 0, from which classes are weighted by their effective number (deferred re-weighting);
    /// never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drw_epoch: Option<u64>,
    /// β of the effective number, 0 to below 1.
    pub drw_beta: f64,
}

impl Default for LdamConfig {
    fn default() -> Self {
        Self { max_margin: 0.5, scale: 30.0, drw_epoch: None, drw_beta: 0.9999 }
    }
}

impl LossOptions for LdamConfig {
    fn validate(&self) -> Validity {
        positive("max_margin", self.max_margin)
            .and(positive("scale", self.scale))
            .and(fraction("drw_beta", self.drw_beta))
    }

    fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(Box::new(Ldam::new(self, context)?))
    }
}

/// Cross-entropy of `scale · (z − margin(label) at the label)`, with `margin ∝ n^(−1/4)`.
///
/// # Source
/// Cao et al. 2019 and its code (`LDAMLoss`, with the `DRW` schedule's weights); a soft target takes its share of each
/// class's margin.
#[derive(Debug, Clone)]
pub struct Ldam {
    config: LdamConfig,
    margins: Vec<f64>,
    weights: Vec<f64>,
    reweighted: Cell<bool>,
}

impl Ldam {
    /// The loss for the class counts of `context`.
    ///
    /// # Errors
    /// Unknown class counts.
    pub fn new(config: &LdamConfig, context: &LossContext) -> Result<Self> {
        let counts = context.counts("ldam")?;
        let margins: Vec<f64> = counts.iter().map(|&n| (n.max(1) as f64).powf(-0.25)).collect();
        let widest = margins.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        Ok(Self {
            margins: margins.iter().map(|margin| margin * config.max_margin / widest).collect(),
            weights: effective_weights(config.drw_beta, counts),
            reweighted: Cell::new(config.drw_epoch == Some(0)),
            config: config.clone(),
        })
    }
}

impl Loss for Ldam {
    fn start_epoch(&self, epoch: u64) {
        self.reweighted.set(self.config.drw_epoch.is_some_and(|first| epoch >= first));
    }

    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        super::check_classes(self.margins.len(), classes)?;
        let rows = targets.rows(n, classes)?;
        let (scale, margins) = (self.config.scale, &self.margins);
        let weights = self.reweighted.get().then(|| {
            let weight =
                |row: &[f32]| row.iter().zip(&self.weights).map(|(&t, w)| f64::from(t) * w).sum::<f64>() as f32;
            let sample = |i: usize| targets.weights.map_or(1.0, |weights| weights[i]);
            rows.chunks(classes.max(1)).enumerate().map(|(i, row)| sample(i) * weight(row)).collect::<Vec<f32>>()
        });
        rows::mean(logits, &rows, weights.as_deref().or(targets.weights), |z, t, dz| {
            let moved: Vec<f64> =
                z.iter().zip(t).zip(margins).map(|((z, t), margin)| scale * (z - t * margin)).collect();
            let loss = rows::cross_entropy(&rows::log_softmax(&moved), t, 1.0, dz);
            dz.iter_mut().for_each(|dz| *dz *= scale);
            loss
        })
    }
}
