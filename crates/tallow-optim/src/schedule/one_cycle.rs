//! The one-cycle schedule: up to the highest learning rate, then down to almost nothing, momentum the other way.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::{Validity, check};

/// Two half cosines around the highest learning rate, `optim.lr`.
///
/// # Source
/// Smith & Topin 2018 (super-convergence); PyTorch's `OneCycleLR` with `anneal_strategy="cos"` and two phases. Where
/// ours differs: an optimiser configured with momentum 0 keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OneCycleConfig {
    /// The fraction of the steps that climb, 0 to 1.
    pub pct_start: f64,
    /// The first learning rate is `lr / div_factor`.
    pub div_factor: f64,
    /// The last learning rate is `lr / div_factor / final_div_factor`.
    pub final_div_factor: f64,
    /// Whether the momentum falls from `max_momentum` to `base_momentum` while the learning rate climbs, and back.
    pub cycle_momentum: bool,
    /// The momentum at the highest learning rate.
    pub base_momentum: f64,
    /// The momentum at the lowest learning rates.
    pub max_momentum: f64,
}

impl Default for OneCycleConfig {
    fn default() -> Self {
        Self {
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
        }
    }
}

impl ScheduleOptions for OneCycleConfig {
    fn validate(&self) -> Validity {
        let divisor = |divisor: f64| divisor > 0.0 && divisor.is_finite();
        let momentum = |m: f64| (0.0..1.0).contains(&m);
        check((0.0..=1.0).contains(&self.pct_start), "pct_start", "a fraction from 0 to 1")
            .and(check(divisor(self.div_factor), "div_factor", "a divisor above 0"))
            .and(check(divisor(self.final_div_factor), "final_div_factor", "a divisor above 0"))
            .and(check(momentum(self.base_momentum), "base_momentum", "a momentum from 0 to below 1"))
            .and(check(momentum(self.max_momentum), "max_momentum", "a momentum from 0 to below 1"))
    }

    fn rates(&self, lr: f64, place: Place) -> Rates {
        self.rates_at(lr, place.step, place.steps)
    }

    fn moves_momentum(&self) -> bool {
        self.cycle_momentum
    }
}

impl OneCycleConfig {
    fn rates_at(&self, max_lr: f64, step: u64, steps: u64) -> Rates {
        let first_lr = max_lr / self.div_factor;
        let last_lr = first_lr / self.final_div_factor;
        let last_step = steps as f64 - 1.0;
        let peak = self.pct_start * steps as f64 - 1.0;
        let step = (step as f64).min(last_step);
        let (lr, momentum) = if step <= peak {
            let done = fraction(step, 0.0, peak);
            (cosine(first_lr, max_lr, done), cosine(self.max_momentum, self.base_momentum, done))
        } else {
            let done = fraction(step, peak, last_step);
            (cosine(max_lr, last_lr, done), cosine(self.base_momentum, self.max_momentum, done))
        };
        Rates { momentum: self.cycle_momentum.then_some(momentum), ..Rates::new(lr) }
    }
}

fn fraction(step: f64, start: f64, end: f64) -> f64 {
    if end > start { (step - start) / (end - start) } else { 1.0 }
}

fn cosine(start: f64, end: f64, fraction: f64) -> f64 {
    end + (start - end) / 2.0 * ((PI * fraction).cos() + 1.0)
}
