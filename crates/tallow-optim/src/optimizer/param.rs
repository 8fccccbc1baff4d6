//! A parameter as an optimiser sees it.

use candle_core::Var;
use tallow_nn::ParamStore;

use crate::Rates;

/// A parameter as an optimiser sees it.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name in the state dict.
    pub name: String,
    /// The variable, which is updated in place.
    pub var: Var,
    /// Its weight decay; 0 if it is exempt.
    pub weight_decay: f64,
    /// The factor of its learning rate.
    pub lr_scale: f64,
    /// Whether it belongs to the classifier.
    pub is_classifier: bool,
}

impl Param {
    /// All parameters of a model, in its order. `no_decay_on_norm_and_bias` exempts parameters of one dimension or less and
    /// those named `bias` from weight decay, as timm's `param_groups_weight_decay`.
    pub fn of(store: &ParamStore, weight_decay: f64, no_decay_on_norm_and_bias: bool) -> Vec<Param> {
        let param = |(name, var): (&str, &Var)| {
            let spared = no_decay_on_norm_and_bias && is_norm_or_bias(name, var);
            let weight_decay = if spared { 0.0 } else { weight_decay };
            Param { name: name.to_owned(), var: var.clone(), weight_decay, lr_scale: 1.0, is_classifier: false }
        };
        store.parameters().map(param).collect()
    }

    /// Its learning rate and its weight decay in a step.
    pub fn rates(&self, rates: Rates) -> (f64, f64) {
        (rates.lr * self.lr_scale, self.weight_decay * rates.decay_scale)
    }
}

/// The parameters that are commonly exempt from weight decay.
pub(crate) fn is_norm_or_bias(name: &str, var: &Var) -> bool {
    var.rank() <= 1 || name.ends_with("bias")
}
