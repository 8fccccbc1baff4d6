//! Losses: from logits and targets to the number that training makes small.
//!
//! To add one: a file with its config and its [`Loss`], a variant of [`LossConfig`], a line in each `match` below.
//! A user's own needs only the trait: [`fit`](crate::fit()) takes any. Most here compute a row's loss and its gradient at
//! once ([`with_gradient`]), instead of a chain of tensor operations.

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

#[cfg(test)]
mod tests;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_data::Dataset;

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

use crate::{Error, Result};

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

    /// Told before each epoch, counted from 0, also where a run goes on in the middle of it.
    fn start_epoch(&self, _epoch: u64) {}
}

/// What a loss may want to know of the training split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LossContext {
    /// The training samples of each class; empty if unknown.
    pub class_counts: Vec<usize>,
}

impl LossContext {
    /// The context of a training split.
    pub fn of(train: &dyn Dataset) -> Self {
        let mut class_counts = vec![0; train.class_names().len()];
        for index in 0..train.len() {
            if let Some(count) = class_counts.get_mut(train.label(index)) {
                *count += 1;
            }
        }
        Self { class_counts }
    }

    /// The class counts that the loss `name` needs.
    fn counts(&self, name: &str) -> Result<&[usize]> {
        match self.class_counts.is_empty() {
            true => Err(Error::Mismatch(format!(
                "loss {name} needs the training split's class counts: build it with LossContext::of(dataset)"
            ))),
            false => Ok(&self.class_counts),
        }
    }

    /// Refuses numbers that are not one a class.
    fn check(&self, key: &str, values: Option<&[f32]>) -> Result<()> {
        let classes = self.class_counts.len();
        match values {
            Some(values) if classes > 0 && values.len() != classes => Err(Error::Mismatch(format!(
                "loss.{key} has {} numbers, the data has {classes} classes: give one a class",
                values.len()
            ))),
            _ => Ok(()),
        }
    }
}

/// The `loss` table of a run's config, told apart by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum LossConfig {
    /// Cross-entropy of the softmax.
    CrossEntropy(CrossEntropyConfig),
    /// Cross-entropy of a sigmoid each class.
    BinaryCrossEntropy(BinaryCrossEntropyConfig),
    /// Cross-entropy in which easy samples count less.
    Focal(FocalConfig),
    /// Classes weighted by their effective number of samples.
    ClassBalanced(ClassBalancedConfig),
    /// Cross-entropy with margins for rare classes.
    Ldam(LdamConfig),
    /// Focal with unlike γ for positives and negatives, for several labels a sample.
    AsymmetricMultiLabel(AsymmetricMultiLabelConfig),
    /// The same for one label a sample.
    AsymmetricSingleLabel(AsymmetricSingleLabelConfig),
    /// Cross-entropy with its first polynomial term raised.
    Poly1(Poly1Config),
    /// Cross-entropy both ways.
    SymmetricCrossEntropy(SymmetricCrossEntropyConfig),
    /// Between cross-entropy and the mean absolute error.
    GeneralisedCrossEntropy(GeneralisedCrossEntropyConfig),
}

impl LossConfig {
    /// The loss itself, for the training split that `context` describes.
    ///
    /// # Errors
    /// Class counts that are needed and unknown; class weights that do not fit them.
    pub fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>> {
        Ok(match self {
            Self::CrossEntropy(config) => Box::new(CrossEntropy::new(config, context)?),
            Self::BinaryCrossEntropy(config) => Box::new(BinaryCrossEntropy::new(config)),
            Self::Focal(config) => Box::new(Focal::new(config, context)?),
            Self::ClassBalanced(config) => Box::new(ClassBalanced::new(config, context)?),
            Self::Ldam(config) => Box::new(Ldam::new(config, context)?),
            Self::AsymmetricMultiLabel(config) => Box::new(AsymmetricMultiLabel::new(config)),
            Self::AsymmetricSingleLabel(config) => Box::new(AsymmetricSingleLabel::new(config)),
            Self::Poly1(config) => Box::new(Poly1::new(config)),
            Self::SymmetricCrossEntropy(config) => Box::new(SymmetricCrossEntropy::new(config)),
            Self::GeneralisedCrossEntropy(config) => Box::new(GeneralisedCrossEntropy::new(config)),
        })
    }

    /// Whether each class is judged for itself, so that several, or none, can hold for a sample.
    pub fn takes_several_labels(&self) -> bool {
        matches!(self, Self::BinaryCrossEntropy(_) | Self::AsymmetricMultiLabel(_))
    }

    /// Whether it asks how many training samples each class has.
    pub(crate) fn needs_class_counts(&self) -> bool {
        matches!(self, Self::ClassBalanced(_) | Self::Ldam(_))
    }

    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Invalid {
        match self {
            Self::CrossEntropy(config) => config.invalid(),
            Self::BinaryCrossEntropy(config) => config.invalid(),
            Self::Focal(config) => config.invalid(),
            Self::ClassBalanced(config) => config.invalid(),
            Self::Ldam(config) => config.invalid(),
            Self::AsymmetricMultiLabel(config) => config.invalid(),
            Self::AsymmetricSingleLabel(config) => config.invalid(),
            Self::Poly1(config) => config.invalid(),
            Self::SymmetricCrossEntropy(config) => config.invalid(),
            Self::GeneralisedCrossEntropy(config) => config.invalid(),
        }
    }
}

/// A key with a value that means nothing, and what is expected of it.
type Invalid = Option<(&'static str, &'static str)>;

fn fraction(key: &'static str, value: f64) -> Invalid {
    (!(0.0..1.0).contains(&value)).then_some((key, "a fraction from 0 to below 1"))
}

fn not_negative(key: &'static str, value: f64) -> Invalid {
    (!(value >= 0.0 && value.is_finite())).then_some((key, "0 or more"))
}

fn positive(key: &'static str, value: f64) -> Invalid {
    (!(value > 0.0 && value.is_finite())).then_some((key, "a number above 0"))
}

fn weights_invalid(weights: Option<&[f32]>) -> Invalid {
    let valid = |w: &[f32]| w.iter().all(|w| *w >= 0.0 && w.is_finite()) && w.iter().any(|w| *w > 0.0);
    weights.filter(|weights| !valid(weights)).map(|_| ("class_weights", "one number a class, 0 or more, not all 0"))
}

fn check_classes(expected: usize, found: usize) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Labels { expected: format!("logits of {expected} classes"), found: found.to_string() }),
    }
}
