//! What every optimiser has in its config beside its own keys, and what of it a parameter gets.

use candle_core::Var;
use serde::{Deserialize, Serialize};
use tallow_nn::ParamStore;

use super::{LookaheadConfig, SamConfig, layer_decay};
use crate::Rates;
use crate::validity::{Validity, check, factor};

/// The keys of the `optim` table that every optimiser has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimCommon {
    /// The learning rate; the highest one where a schedule moves it.
    pub lr: f64,
    /// Weight decay, 0 or more: L2 (joining the gradient) or decoupled (shrinking the weights by `lr · weight_decay`),
    /// as the optimiser's page says.
    pub weight_decay: f64,
    /// Whether normalisation parameters and biases are spared from the decay, from `l1` and from adaptive rates by norm
    /// (LAMB, LARS).
    #[serde(default)]
    pub no_decay_on_norm_and_bias: bool,
    /// What the learning rate of each block is multiplied by for every block between it and the classifier, above 0 and
    /// at most 1; 1 for none.
    #[serde(default = "one")]
    pub layer_decay: f64,
    /// What the classifier's learning rate is multiplied by, above 0.
    #[serde(default = "one")]
    pub head_lr_scale: f64,
    /// The L1 penalty: what is added to the gradient with each parameter's sign, 0 or more.
    #[serde(default)]
    pub l1: f64,
    /// Sharpness-aware minimisation: the gradient is taken at the worst place nearby; off if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sam: Option<SamConfig>,
    /// Slow weights that follow the optimiser's; off if absent.
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
            .and(check(self.layer_decay > 0.0 && self.layer_decay <= 1.0, "layer_decay", "a factor above 0 and at most 1"))
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

/// A parameter as an optimiser sees it.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name in the state dict.
    pub name: String,
    /// The variable that is changed in place.
    pub var: Var,
    /// Its own weight decay: 0 where it is spared.
    pub weight_decay: f64,
    /// What its learning rate is multiplied by; 1 where nothing is said.
    pub lr_scale: f64,
    /// Whether it is the classifier's.
    pub is_classifier: bool,
}

impl Param {
    /// All parameters of a model in its order. `no_decay_on_norm_and_bias` spares those of one dimension or less and
    /// those named `bias`, as timm's `param_groups_weight_decay` does.
    pub fn of(store: &ParamStore, weight_decay: f64, no_decay_on_norm_and_bias: bool) -> Vec<Param> {
        let param = |(name, var): (&str, &Var)| {
            let spared = no_decay_on_norm_and_bias && is_norm_or_bias(name, var);
            let weight_decay = if spared { 0.0 } else { weight_decay };
            Param { name: name.to_owned(), var: var.clone(), weight_decay, lr_scale: 1.0, is_classifier: false }
        };
        store.parameters().map(param).collect()
    }

    /// Its learning rate and weight decay in this step.
    pub fn rates(&self, rates: Rates) -> (f64, f64) {
        (rates.lr * self.lr_scale, self.weight_decay * rates.decay_scale)
    }
}

/// What decays commonly spare.
pub(crate) fn is_norm_or_bias(name: &str, var: &Var) -> bool {
    var.rank() <= 1 || name.ends_with("bias")
}
