//! Losses: scalar functions of logits and targets, differentiable by the tape.
//!
//! A new loss is one file with its config, its [`Loss`] and its [`LossOptions`], and one row of the table below. A loss
//! of your own that needs no name in a config implements [`Loss`] alone. Most losses here compute each row's loss and
//! gradient together in double precision ([`with_gradient`]) instead of recording a chain of tensor operations.

mod asymmetric;
mod binary_cross_entropy;
mod class_balanced;
mod cross_entropy;
mod focal;
mod generalised_cross_entropy;
mod jsd;
mod ldam;
mod poly1;
mod r_drop;
mod rows;
mod symmetric_cross_entropy;
mod targets;
mod traits;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use asymmetric::{
    AsymmetricMultiLabel, AsymmetricMultiLabelConfig, AsymmetricSingleLabel, AsymmetricSingleLabelConfig,
};
pub use binary_cross_entropy::{BinaryCrossEntropy, BinaryCrossEntropyConfig};
pub use class_balanced::{BalancedBase, ClassBalanced, ClassBalancedConfig};
pub use cross_entropy::{CrossEntropy, CrossEntropyConfig};
pub use focal::{Focal, FocalConfig, FocalKind};
pub use generalised_cross_entropy::{GeneralisedCrossEntropy, GeneralisedCrossEntropyConfig};
pub use jsd::JsdCrossEntropy;
pub use ldam::{Ldam, LdamConfig};
pub use poly1::{Poly1, Poly1Config};
pub use r_drop::r_drop_divergence;
pub use rows::with_gradient;
pub use symmetric_cross_entropy::{SymmetricCrossEntropy, SymmetricCrossEntropyConfig};
pub use targets::Targets;
use traits::check_classes;
pub use traits::{Loss, LossContext, LossOptions};

use crate::Result;
use crate::validity::Validity;

/// The targets that a loss takes for each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// One class, or a distribution over the classes.
    Single,
    /// Any number of classes: each is a binary question of its own.
    Multi,
}

/// Defines [`LossConfig`] from one row per loss.
macro_rules! losses {
    ($($(#[$doc:meta])* $name:literal: $variant:ident($config:ident), $labels:ident, class_counts: $counts:literal;)*) => {
        /// The `loss` table of a config; its key `name` chooses the loss.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "name")]
        pub enum LossConfig {
            $($(#[$doc])* #[serde(rename = $name)] $variant($config),)*
        }

        impl LossConfig {
            /// The names of all losses.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The targets that the loss takes for each sample.
            pub fn labels(&self) -> Labels {
                match self {
                    $(Self::$variant(_) => Labels::$labels,)*
                }
            }

            /// Whether the loss needs [`LossContext::class_counts`].
            pub fn needs_class_counts(&self) -> bool {
                match self {
                    $(Self::$variant(_) => $counts,)*
                }
            }

            fn options(&self) -> &dyn LossOptions {
                match self {
                    $(Self::$variant(config) => config,)*
                }
            }
        }
    };
}

// A new loss: its file above, and one row here.
losses! {
    /// Cross-entropy of the softmax.
    "cross_entropy": CrossEntropy(CrossEntropyConfig), Single, class_counts: false;
    /// Cross-entropy of one sigmoid per class.
    "binary_cross_entropy": BinaryCrossEntropy(BinaryCrossEntropyConfig), Multi, class_counts: false;
    /// Cross-entropy that weights easy samples down.
    "focal": Focal(FocalConfig), Single, class_counts: false;
    /// Classes weighted by their effective number of samples.
    "class_balanced": ClassBalanced(ClassBalancedConfig), Single, class_counts: true;
    /// Cross-entropy with larger margins for rarer classes.
    "ldam": Ldam(LdamConfig), Single, class_counts: true;
    /// Focal loss with separate γ for positives and negatives, for multi-label data.
    "asymmetric_multi_label": AsymmetricMultiLabel(AsymmetricMultiLabelConfig), Multi, class_counts: false;
    /// The same for one label per sample.
    "asymmetric_single_label": AsymmetricSingleLabel(AsymmetricSingleLabelConfig), Single, class_counts: false;
    /// Cross-entropy with a larger first polynomial coefficient.
    "poly1": Poly1(Poly1Config), Single, class_counts: false;
    /// Cross-entropy plus reverse cross-entropy.
    "symmetric_cross_entropy": SymmetricCrossEntropy(SymmetricCrossEntropyConfig), Single, class_counts: false;
    /// Between cross-entropy and the mean absolute error.
    "generalised_cross_entropy": GeneralisedCrossEntropy(GeneralisedCrossEntropyConfig), Single, class_counts: false;
}

impl LossConfig {
    /// Builds the loss for the training split that `context` describes.
    ///
    /// # Errors
    /// Class counts that are needed and unknown; class weights that do not fit them.
    pub fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>> {
        self.options().build(context)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn validate(&self) -> Validity {
        self.options().validate()
    }
}
