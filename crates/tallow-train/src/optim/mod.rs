//! Optimisers: from gradients to new parameters, in one parallel pass over each parameter, in place.
//!
//! To add one: a file with its config and its [`Optimizer`], a variant of [`OptimConfig`], a line in each `match`
//! below. A user's own needs only the trait: [`fit`](crate::fit()) takes any.

mod adam;
mod adamw;
mod layer_decay;
mod rmsprop;
mod sgd;
mod state;
mod update;

pub(crate) use layer_decay::is_classifier;
pub(crate) use update::update;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};
use tallow_models::Built;
use tallow_nn::{Gradients, ParamStore};

pub use adam::{Adam, AdamConfig};
pub use adamw::{AdamW, AdamWConfig};
pub use rmsprop::{RmsProp, RmsPropConfig};
pub use sgd::{Sgd, SgdConfig};

use crate::{Rates, Result};

/// Changes parameters by their gradients.
pub trait Optimizer {
    /// One step. A parameter without a gradient stays as it is.
    ///
    /// # Errors
    /// A parameter or gradient that is not f32 on the CPU, or of unlike shapes.
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()>;

    /// What must be saved to go on from here, by name. Copies, not views.
    ///
    /// # Errors
    /// Whatever Candle fails with.
    fn state(&self) -> Result<Vec<(String, Tensor)>>;

    /// Takes the state that [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A name that is missing, or another shape: the state is that of another optimiser or model.
    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()>;
}

/// The `optim` table of a run's config, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OptimConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam with L2 regularisation.
    Adam(AdamConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
    /// RMSprop as PyTorch's.
    RmsProp(RmsPropConfig),
}

impl OptimConfig {
    /// The (highest) learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.lr,
            Self::Adam(c) => c.lr,
            Self::AdamW(c) => c.lr,
            Self::RmsProp(c) => c.lr,
        }
    }

    /// How learning rates differ between parameters: `layer_decay` and `head_lr_scale`.
    fn scales(&self) -> (f64, f64) {
        match self {
            Self::Sgd(c) => (c.layer_decay, c.head_lr_scale),
            Self::Adam(c) => (c.layer_decay, c.head_lr_scale),
            Self::AdamW(c) => (c.layer_decay, c.head_lr_scale),
            Self::RmsProp(c) => (c.layer_decay, c.head_lr_scale),
        }
    }

    /// The optimiser of a model's parameters.
    pub fn build_for(&self, built: &Built) -> Box<dyn Optimizer> {
        self.build_scaled(&built.store, Some(built.info.preset.classifier))
    }

    /// The optimiser of parameters of which none are a classifier's.
    pub fn build(&self, store: &ParamStore) -> Box<dyn Optimizer> {
        self.build_scaled(store, None)
    }

    fn build_scaled(&self, store: &ParamStore, classifier: Option<&str>) -> Box<dyn Optimizer> {
        let (layer_decay, head_lr_scale) = self.scales();
        let params = |decay, sparing| {
            let mut params = Param::of(store, decay, sparing);
            layer_decay::scale(&mut params, classifier, layer_decay, head_lr_scale);
            params
        };
        match self {
            Self::Sgd(c) => Box::new(Sgd::new(c, params(c.weight_decay, c.no_decay_on_norm_and_bias))),
            Self::Adam(c) => Box::new(Adam::new(c, params(c.weight_decay, c.no_decay_on_norm_and_bias))),
            Self::AdamW(c) => Box::new(AdamW::new(c, params(c.weight_decay, c.no_decay_on_norm_and_bias))),
            Self::RmsProp(c) => Box::new(RmsProp::new(c, params(c.weight_decay, c.no_decay_on_norm_and_bias))),
        }
    }

    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        let (lr, decay, own) = match self {
            Self::Sgd(c) => (c.lr, c.weight_decay, c.invalid()),
            Self::Adam(c) => (c.lr, c.weight_decay, c.invalid()),
            Self::AdamW(c) => (c.lr, c.weight_decay, c.invalid()),
            Self::RmsProp(c) => (c.lr, c.weight_decay, c.invalid()),
        };
        if !(lr >= 0.0 && lr.is_finite()) {
            return Some(("lr", "a learning rate, 0 or more"));
        }
        let (layer_decay, head_lr_scale) = self.scales();
        if !(layer_decay > 0.0 && layer_decay <= 1.0) {
            return Some(("layer_decay", "a factor above 0 and at most 1"));
        }
        if !(head_lr_scale > 0.0 && head_lr_scale.is_finite()) {
            return Some(("head_lr_scale", "a factor above 0"));
        }
        if !(decay >= 0.0 && decay.is_finite()) {
            return Some(("weight_decay", "0 or more"));
        }
        own
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
}

impl Param {
    /// All parameters of a model in its order. `no_decay_on_norm_and_bias` spares those of one dimension or less and
    /// those named `bias`, as timm's `param_groups_weight_decay` does.
    pub fn of(store: &ParamStore, weight_decay: f64, no_decay_on_norm_and_bias: bool) -> Vec<Param> {
        let param = |(name, var): (&str, &Var)| {
            let spared = no_decay_on_norm_and_bias && (var.rank() <= 1 || name.ends_with("bias"));
            let weight_decay = if spared { 0.0 } else { weight_decay };
            Param { name: name.to_owned(), var: var.clone(), weight_decay, lr_scale: 1.0 }
        };
        store.parameters().map(param).collect()
    }
}

fn momentum_invalid(momentum: f64) -> Option<(&'static str, &'static str)> {
    (!(0.0..1.0).contains(&momentum)).then_some(("momentum", "a number from 0 to below 1"))
}

fn eps_invalid(eps: f64) -> Option<(&'static str, &'static str)> {
    (!(eps > 0.0 && eps.is_finite())).then_some(("eps", "a small number above 0"))
}

fn betas_invalid((beta1, beta2): (f64, f64)) -> Option<(&'static str, &'static str)> {
    let valid = |beta: f64| (0.0..1.0).contains(&beta);
    (!valid(beta1) || !valid(beta2)).then_some(("betas", "two numbers from 0 to below 1"))
}
