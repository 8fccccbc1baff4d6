//! Losses: from logits and labels to the number that training makes small.
//!
//! To add one: a file with its config and its [`Loss`], a variant of [`LossConfig`], a line in each `match` below.
//! A user's own needs only the trait: [`fit`](crate::fit()) takes any.

mod cross_entropy;
mod targets;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

pub use cross_entropy::{CrossEntropy, CrossEntropyConfig};
pub use targets::Targets;

use crate::Result;

/// Compares a batch of logits with what they should have been.
pub trait Loss {
    /// The mean loss of a batch, a scalar that gradients can be taken of.
    ///
    /// # Shapes
    /// `logits` is `[n, k]`; `targets` has `n` class indices below `k`, and where those do not say it all, `n × k`
    /// numbers.
    ///
    /// # Errors
    /// Another shape, a label out of range, whatever the kernels fail with.
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor>;
}

/// The `loss` table of a run's config, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum LossConfig {
    /// Cross-entropy of the softmax.
    CrossEntropy(CrossEntropyConfig),
}

impl LossConfig {
    /// The loss itself.
    pub fn build(&self) -> Box<dyn Loss> {
        match self {
            Self::CrossEntropy(config) => Box::new(CrossEntropy::new(config)),
        }
    }

    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::CrossEntropy(config) => config.invalid(),
        }
    }
}
