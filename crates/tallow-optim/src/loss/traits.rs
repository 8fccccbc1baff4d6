//! The traits of losses and of their configs.

use candle_core::Tensor;

use super::Targets;
use crate::validity::Validity;
use crate::{Error, Result};

/// Compares the logits of a batch with its targets.
pub trait Loss {
    /// The mean loss over the batch: a scalar that the tape can differentiate.
    ///
    /// # Shapes
    /// `logits`: `[n, k]`. `targets`: `n` class indices below `k`, and optionally `n × k` target values.
    ///
    /// # Errors
    /// Another shape; a label out of range; an error of a kernel.
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor>;

    /// Called before each epoch with its number, counted from 0, also when a run resumes in the middle of it.
    fn start_epoch(&self, _epoch: u64) {}
}

/// Information about the training split that some losses need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LossContext {
    /// The number of training samples of each class; empty if unknown.
    pub class_counts: Vec<usize>,
}

impl LossContext {
    /// The class counts, which the loss `name` needs.
    pub(super) fn counts(&self, loss: &'static str) -> Result<&[usize]> {
        match self.class_counts.is_empty() {
            true => Err(Error::ClassCounts { loss }),
            false => Ok(&self.class_counts),
        }
    }

    /// Fails unless `values` has one number per class.
    pub(super) fn check(&self, key: &'static str, values: Option<&[f32]>) -> Result<()> {
        let expected = self.class_counts.len();
        match values {
            Some(values) if expected > 0 && values.len() != expected => {
                Err(Error::PerClass { key, expected, found: values.len() })
            }
            _ => Ok(()),
        }
    }
}

/// The config of a loss: the `loss` table without its `name`.
pub trait LossOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    fn validate(&self) -> Validity;

    /// Builds the loss for the training split that `context` describes.
    ///
    /// # Errors
    /// Class counts that are needed and unknown; class weights that do not fit them.
    fn build(&self, context: &LossContext) -> Result<Box<dyn Loss>>;
}

/// Fails unless the logits have as many classes as the loss was built for.
pub(super) fn check_classes(expected: usize, found: usize) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Labels { expected: format!("logits of {expected} classes"), found: found.to_string() }),
    }
}
