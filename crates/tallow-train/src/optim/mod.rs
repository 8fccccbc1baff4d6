//! Optimisers: from gradients to new parameters, in one parallel pass over each parameter, in place.
//!
//! To add one: a file with its config and its [`Optimizer`], a variant of [`OptimMethod`], a line in each `match` below.
//! A user's own needs only the trait: [`fit`](crate::fit()) takes any.

mod adagrad;
mod adam;
mod adamw;
mod adan;
mod common;
mod lamb;
mod lars;
mod layer_decay;
mod lion;
mod lookahead;
mod muon;
mod nadam;
mod radam;
mod rmsprop;
mod rmsprop_tf;
mod sam;
mod sgd;
mod state;
mod update;

pub(crate) use common::is_norm_or_bias;
pub(crate) use layer_decay::is_classifier;
pub(crate) use update::update;

#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Deserializer, Serialize};
use tallow_models::Built;
use tallow_nn::{Gradients, ParamStore};

pub use adagrad::{Adagrad, AdagradConfig};
pub use adam::{Adam, AdamConfig};
pub use adamw::{AdamW, AdamWConfig};
pub use adan::{Adan, AdanConfig};
pub use common::{OptimCommon, Param};
pub use lamb::{Lamb, LambConfig};
pub use lars::{Lars, LarsConfig};
pub use lion::{Lion, LionConfig};
pub use lookahead::{Lookahead, LookaheadConfig};
pub use muon::{AdjustLr, Muon, MuonConfig};
pub use nadam::{NAdam, NAdamConfig};
pub use radam::{RAdam, RAdamConfig};
pub use rmsprop::{RmsProp, RmsPropConfig};
pub use rmsprop_tf::{RmsPropTf, RmsPropTfConfig};
pub use sam::{Sam, SamConfig};
pub use sgd::{Sgd, SgdConfig};

use crate::config::common_and_own;
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

/// The `optim` table of a run's config: a `name`, the keys of that optimiser, and those that all have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OptimConfig {
    /// Which one, with its own keys.
    #[serde(flatten)]
    pub method: OptimMethod,
    /// What all have.
    #[serde(flatten)]
    pub common: OptimCommon,
}

/// An optimiser with its own keys, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OptimMethod {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam with L2 regularisation.
    Adam(AdamConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
    /// Adam with Nesterov's momentum.
    NAdam(NAdamConfig),
    /// Adam whose adaptive rate waits until it is sure of its variance.
    RAdam(RAdamConfig),
    /// RMSprop as PyTorch's.
    RmsProp(RmsPropConfig),
    /// RMSprop as TensorFlow's.
    #[serde(rename = "rmsprop_tf")]
    RmsPropTf(RmsPropTfConfig),
    /// Rates by the sum of all squared gradients.
    Adagrad(AdagradConfig),
    /// Adam with rates by layers' norms, for large batches.
    Lamb(LambConfig),
    /// SGD with rates by layers' norms, for large batches.
    Lars(LarsConfig),
    /// The sign of a momentum.
    Lion(LionConfig),
    /// Adam with Nesterov's momentum by differences of gradients.
    Adan(AdanConfig),
    /// Orthogonalised momentum for matrices, AdamW for the rest.
    Muon(MuonConfig),
}

impl<'de> Deserialize<'de> for OptimConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (method, common) = common_and_own(deserializer, OptimCommon::KEYS, |method: &OptimMethod, table| {
            let (lr, weight_decay) = method.default_rates();
            table.entry("lr").or_insert(toml::Value::Float(lr));
            table.entry("weight_decay").or_insert(toml::Value::Float(weight_decay));
        })?;
        Ok(Self { method, common })
    }
}

impl From<OptimMethod> for OptimConfig {
    /// With the method's own learning rate and weight decay.
    fn from(method: OptimMethod) -> Self {
        let (lr, weight_decay) = method.default_rates();
        Self { method, common: OptimCommon::new(lr, weight_decay) }
    }
}

impl OptimMethod {
    /// Learning rate and weight decay where the config gives none: the originals'.
    fn default_rates(&self) -> (f64, f64) {
        match self {
            Self::Sgd(_) => (0.1, 0.0),
            Self::Adam(_) => (1e-3, 0.0),
            Self::AdamW(_) => (1e-3, 0.01),
            Self::NAdam(_) => (2e-3, 0.0),
            Self::RAdam(_) => (1e-3, 0.0),
            Self::RmsProp(_) | Self::RmsPropTf(_) | Self::Adagrad(_) => (0.01, 0.0),
            Self::Lamb(_) => (1e-3, 0.01),
            Self::Lars(_) => (1.0, 0.0),
            Self::Lion(_) => (1e-4, 0.0),
            Self::Adan(_) => (1e-3, 0.0),
            Self::Muon(_) => (1e-3, 0.1),
        }
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        match self {
            Self::Sgd(c) => Box::new(Sgd::new(c, params)),
            Self::Adam(c) => Box::new(Adam::new(c, params)),
            Self::AdamW(c) => Box::new(AdamW::new(c, params)),
            Self::NAdam(c) => Box::new(NAdam::new(c, params)),
            Self::RAdam(c) => Box::new(RAdam::new(c, params)),
            Self::RmsProp(c) => Box::new(RmsProp::new(c, params)),
            Self::RmsPropTf(c) => Box::new(RmsPropTf::new(c, params)),
            Self::Adagrad(c) => Box::new(Adagrad::new(c, params)),
            Self::Lamb(c) => Box::new(Lamb::new(c, params)),
            Self::Lars(c) => Box::new(Lars::new(c, params)),
            Self::Lion(c) => Box::new(Lion::new(c, params)),
            Self::Adan(c) => Box::new(Adan::new(c, params)),
            Self::Muon(c) => Box::new(Muon::new(c, params)),
        }
    }

    fn invalid(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Sgd(c) => c.invalid(),
            Self::Adam(c) => c.invalid(),
            Self::AdamW(c) => c.invalid(),
            Self::NAdam(c) => c.invalid(),
            Self::RAdam(c) => c.invalid(),
            Self::RmsProp(c) => c.invalid(),
            Self::RmsPropTf(c) => c.invalid(),
            Self::Adagrad(c) => c.invalid(),
            Self::Lamb(c) => c.invalid(),
            Self::Lars(c) => c.invalid(),
            Self::Lion(c) => c.invalid(),
            Self::Adan(c) => c.invalid(),
            Self::Muon(c) => c.invalid(),
        }
    }
}

impl OptimConfig {
    /// The (highest) learning rate.
    pub fn lr(&self) -> f64 {
        self.common.lr
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
        let params = self.common.params(store, classifier);
        match &self.common.lookahead {
            None => self.method.build(params),
            Some(lookahead) => Box::new(Lookahead::new(lookahead, self.method.build(params.clone()), params)),
        }
    }

    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        self.common.invalid().or_else(|| self.method.invalid())
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
