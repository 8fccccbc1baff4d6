//! The triangular schedule: linearly up to the learning rate and down again, in cycles.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check, factor};

/// Cycles between `lr / div_factor` and `lr`.
///
/// # Source
/// Smith 2017 (cyclical learning rates); PyTorch's `CyclicLR` with `cycle_momentum=False`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TriangularConfig {
    /// The lowest learning rate is `lr / div_factor`, 1 or more.
    pub div_factor: f64,
    /// Epochs of a rise, above 0; may be a fraction.
    pub step_up_epochs: f64,
    /// Epochs of a fall, above 0; those of a rise if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_down_epochs: Option<f64>,
    /// The change of the amplitude from cycle to cycle.
    pub mode: TriangularMode,
    /// The factor of the amplitude per step under `exp_range`, above 0.
    pub gamma: f64,
}

/// The change of the amplitude of a triangular schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TriangularMode {
    /// Constant.
    Triangular,
    /// Halved in each cycle.
    Triangular2,
    /// Multiplied by `gamma` in each step.
    ExpRange,
}

impl Default for TriangularConfig {
    fn default() -> Self {
        let mode = TriangularMode::Triangular;
        Self { div_factor: 10.0, step_up_epochs: 2.0, step_down_epochs: None, mode, gamma: 1.0 }
    }
}

impl ScheduleOptions for TriangularConfig {
    fn validate(&self) -> Validity {
        check(self.div_factor >= 1.0 && self.div_factor.is_finite(), "div_factor", "a divisor of 1 or more")
            .and(factor("step_up_epochs", self.step_up_epochs))
            .and(self.step_down_epochs.map_or(Ok(()), |epochs| factor("step_down_epochs", epochs)))
            .and(factor("gamma", self.gamma))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        Rates::new(self.lr(lr, place))
    }
}

impl TriangularConfig {
    fn lr(&self, lr: f64, place: Place) -> f64 {
        let low = lr / self.div_factor;
        let steps = |epochs: f64| (epochs * place.steps_per_epoch as f64).round().max(1.0);
        let up = steps(self.step_up_epochs);
        let length = up + self.step_down_epochs.map_or(up, steps);
        let (step, rising) = (place.step as f64, up / length);
        let cycle = (step / length).floor();
        let done = step / length - cycle;
        let height = if done <= rising { done / rising } else { (done - 1.0) / (rising - 1.0) };
        let scale = match self.mode {
            TriangularMode::Triangular => 1.0,
            TriangularMode::Triangular2 => 0.5f64.powf(cycle),
            TriangularMode::ExpRange => self.gamma.powf(step),
        };
        low + (lr - low) * height * scale
    }
}
