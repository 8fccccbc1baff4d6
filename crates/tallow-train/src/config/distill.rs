//! The `[distill]` section.

use serde::{Deserialize, Serialize};
use tallow_optim::InvalidValue;

/// The `[distill]` section: distillation from a teacher run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DistillConfig {
    /// The directory of the teacher, a run or an ensemble that averages; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The target: the teacher's probabilities, or the class that it predicts.
    pub kind: DistillKind,
    /// The temperature of `soft`, above 0: the logits of both models are divided by it. A higher one gives more weight to the
    /// wrong classes.
    pub temperature: f64,
    /// The weight of the teacher's loss, 0 to 1; the loss of the labels has the rest.
    pub alpha: f64,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self { teacher: None, kind: DistillKind::Soft, temperature: 3.0, alpha: 0.5 }
    }
}

impl DistillConfig {
    /// The first key whose value is out of range, and what is expected of it.
    pub(crate) fn first_invalid(&self) -> Option<InvalidValue> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Some(InvalidValue { key: "temperature", expected: "a number above 0" });
        }
        let alpha = InvalidValue { key: "alpha", expected: "a fraction from 0 to 1" };
        (!(0.0..=1.0).contains(&self.alpha)).then_some(alpha)
    }
}

/// The target that a teacher gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DistillKind {
    /// The teacher's probabilities: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network".
    Soft,
    /// The class that the teacher predicts: Touvron et al. 2020, DeiT, without the distillation token.
    Hard,
}
