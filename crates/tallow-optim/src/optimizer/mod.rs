//! Optimisers: parameter updates in one parallel pass over each parameter, in place.
//!
//! A new optimiser is one file with its config, its [`Optimizer`] and its [`OptimizerOptions`], and one row of the table
//! below. An optimiser of your own that needs no name in a config implements [`Optimizer`] alone.

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
mod moments;
mod muon;
mod nadam;
mod param;
mod radam;
mod rmsprop;
mod rmsprop_tf;
mod sam;
mod sgd;
mod state;
mod traits;
mod update;

pub use layer_decay::is_classifier;
pub(crate) use param::is_norm_or_bias;
pub(crate) use update::update;

#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, Serialize};
use tallow_nn::ParamStore;

pub use adagrad::{Adagrad, AdagradConfig};
pub use adam::{Adam, AdamConfig};
pub use adamw::{AdamW, AdamWConfig};
pub use adan::{Adan, AdanConfig};
pub use common::OptimCommon;
pub use lamb::{Lamb, LambConfig};
pub use lars::{Lars, LarsConfig};
pub use lion::{Lion, LionConfig};
pub use lookahead::{Lookahead, LookaheadConfig};
pub use muon::{AdjustLr, Muon, MuonConfig};
pub use nadam::{NAdam, NAdamConfig};
pub use param::Param;
pub use radam::{RAdam, RAdamConfig};
pub use rmsprop::{RmsProp, RmsPropConfig};
pub use rmsprop_tf::{RmsPropTf, RmsPropTfConfig};
pub use sam::{Sam, SamConfig};
pub use sgd::{Sgd, SgdConfig};
pub use traits::{Optimizer, OptimizerOptions};

use crate::table::common_and_own;
use crate::validity::Validity;

/// The `optim` table of a config: a `name`, the keys of that optimiser, and the keys that all optimisers have.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct OptimConfig {
    /// The optimiser with its own keys.
    #[serde(flatten)]
    pub method: OptimMethod,
    /// The keys that all optimisers have.
    #[serde(flatten)]
    pub common: OptimCommon,
}

/// Defines [`OptimMethod`] from one row per optimiser.
macro_rules! optimizers {
    ($($(#[$doc:meta])* $name:literal: $variant:ident($config:ident);)*) => {
        /// An optimiser with its own keys; `name` chooses it.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "name")]
        pub enum OptimMethod {
            $($(#[$doc])* #[serde(rename = $name)] $variant($config),)*
        }

        impl OptimMethod {
            /// The names of all optimisers.
            pub const NAMES: &[&str] = &[$($name),*];

            fn options(&self) -> &dyn OptimizerOptions {
                match self {
                    $(Self::$variant(config) => config,)*
                }
            }
        }
    };
}

// A new optimiser: its file above, and one row here.
optimizers! {
    /// Stochastic gradient descent.
    "sgd": Sgd(SgdConfig);
    /// Adam with L2 regularisation.
    "adam": Adam(AdamConfig);
    /// Adam with decoupled weight decay.
    "adamw": AdamW(AdamWConfig);
    /// Adam with Nesterov momentum.
    "nadam": NAdam(NAdamConfig);
    /// Adam with a rectified adaptive rate.
    "radam": RAdam(RAdamConfig);
    /// RMSprop as in PyTorch.
    "rmsprop": RmsProp(RmsPropConfig);
    /// RMSprop as in TensorFlow.
    "rmsprop_tf": RmsPropTf(RmsPropTfConfig);
    /// Rates by the sum of all squared gradients.
    "adagrad": Adagrad(AdagradConfig);
    /// Adam with layer-wise rates, for large batches.
    "lamb": Lamb(LambConfig);
    /// SGD with layer-wise rates, for large batches.
    "lars": Lars(LarsConfig);
    /// The sign of the momentum.
    "lion": Lion(LionConfig);
    /// Adam with Nesterov momentum estimated from gradient differences.
    "adan": Adan(AdanConfig);
    /// Orthogonalised momentum for matrices, AdamW for all other parameters.
    "muon": Muon(MuonConfig);
}

impl<'de> Deserialize<'de> for OptimConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (method, common) = common_and_own(deserializer, OptimCommon::KEYS, |method: &OptimMethod, table| {
            let options = method.options();
            table.entry("lr").or_insert(toml::Value::Float(options.lr()));
            table.entry("weight_decay").or_insert(toml::Value::Float(options.weight_decay()));
        })?;
        Ok(Self { method, common })
    }
}

impl From<OptimMethod> for OptimConfig {
    /// With the method's default learning rate and weight decay.
    fn from(method: OptimMethod) -> Self {
        let common = OptimCommon::new(method.options().lr(), method.options().weight_decay());
        Self { method, common }
    }
}

impl OptimConfig {
    /// The (highest) learning rate.
    pub fn lr(&self) -> f64 {
        self.common.lr
    }

    /// Builds the optimiser of a model's parameters. `classifier` is the name of the module that `head_lr_scale` applies to
    /// and from which `layer_decay` counts, such as `fc`; `None` if no parameter belongs to a classifier.
    pub fn build(&self, store: &ParamStore, classifier: Option<&str>) -> Box<dyn Optimizer> {
        let params = self.common.params(store, classifier);
        let options = self.method.options();
        match &self.common.lookahead {
            None => options.build(params),
            Some(lookahead) => Box::new(Lookahead::new(lookahead, options.build(params.clone()), params)),
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn validate(&self) -> Validity {
        self.common.validate().and_then(|()| self.method.options().validate())
    }
}
