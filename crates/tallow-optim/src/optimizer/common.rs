//! The config keys that all optimisers have.

use serde::{Deserialize, Serialize};
use tallow_nn::ParamStore;

use super::{LookaheadConfig, Param, SamConfig, layer_decay};
use crate::validity::{Validity, check, factor};

/// The keys of the `optim` table that every optimiser has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OptimCommon {
    /// The learning rate; with a schedule, its highest value.
    pub lr: f64,
    /// The weight decay, 0 or more: L2 (added to the gradient) or decoupled (the weights shrink by `lr · weight_decay`),
    /// depending on the optimiser.
    pub weight_decay: f64,
    /// Whether normalisation parameters and biases are exempt from weight decay, from `l1` and from layer-wise rates (LAMB,
    /// LARS).
    #[serde(default)]
    pub no_decay_on_norm_and_bias: bool,
    /// Layer-wise learning-rate decay: the factor of a block's learning rate for every block between it and the classifier,
    /// above 0 and at most 1; 1 for none.
    #[serde(default = "one")]
    pub layer_decay: f64,
    /// The factor of the classifier's learning rate, above 0.
    #[serde(default = "one")]
    pub head_lr_scale: f64,
    /// The factor of the L1 penalty, 0 or more.
    #[serde(default)]
    pub l1: f64,
    /// Sharpness-aware minimisation (SAM); off if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sam: Option<SamConfig>,
    /// Lookahead: slow weights that follow the optimiser's; off if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookahead: Option<LookaheadConfig>,
}

fn one() -> f64 {
    1.0
}

impl OptimCommon {
    /// The keys, for messages.
    pub const KEYS: &'static [&'static str] =
        &["lr", "weight_decay", "no_decay_on_norm_and_bias", "layer_decay", "head_lr_scale", "l1", "sam", "lookahead"];

    /// Defaults around a learning rate and a weight decay.
    pub fn new(lr: f64, weight_decay: f64) -> Self {
        Self {
            lr,
            weight_decay,
            no_decay_on_norm_and_bias: false,
            layer_decay: 1.0,
            head_lr_scale: 1.0,
            l1: 0.0,
            sam: None,
            lookahead: None,
        }
    }

    pub(super) fn validate(&self) -> Validity {
        let not_negative = |x: f64| x >= 0.0 && x.is_finite();
        check(not_negative(self.lr), "lr", "a learning rate, 0 or more")
            .and(check(
                self.layer_decay > 0.0 && self.layer_decay <= 1.0,
                "layer_decay",
                "a factor above 0 and at most 1",
            ))
            .and(factor("head_lr_scale", self.head_lr_scale))
            .and(check(not_negative(self.weight_decay), "weight_decay", "0 or more"))
            .and(check(not_negative(self.l1), "l1", "0 or more"))
            .and(check(
                self.sam.as_ref().is_none_or(|sam| sam.rho > 0.0 && sam.rho.is_finite()),
                "sam.rho",
                "a radius above 0",
            ))
            .and(check(
                self.lookahead.as_ref().is_none_or(|l| l.k > 0 && (0.0..=1.0).contains(&l.alpha)),
                "lookahead",
                "k of 1 or more, and alpha from 0 to 1",
            ))
    }

    /// A model's parameters as the optimiser sees them.
    pub fn params(&self, store: &ParamStore, classifier: Option<&str>) -> Vec<Param> {
        let mut params = Param::of(store, self.weight_decay, self.no_decay_on_norm_and_bias);
        layer_decay::scale(&mut params, classifier, self.layer_decay, self.head_lr_scale);
        params
    }
}
