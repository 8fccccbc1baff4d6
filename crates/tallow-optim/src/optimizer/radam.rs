//! RAdam: Adam whose first steps are plain momentum, until the variance of its running square is small enough.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::moments::{Decay, MomentUpdate, Moments};
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas, eps};
use crate::{Rates, Result};

/// `optim.name = "radam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RAdamConfig {
    /// The decay rates of the running mean and of the running square of the gradient, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// Whether the weight decay is decoupled: it shrinks the weights instead of being added to the gradient (L2).
    pub decoupled: bool,
}

impl Default for RAdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, decoupled: false }
    }
}

impl OptimizerOptions for RAdamConfig {
    fn lr(&self) -> f64 {
        1e-3
    }

    fn validate(&self) -> Validity {
        betas(self.betas).and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(RAdam::new(self, params))
    }
}

/// RAdam: `p ← p − lr·r·m̂·√(1−β₂ᵗ)/(√v + ε)` with the rectification `r` where the variance is tractable (ρₜ > 5),
/// `p ← p − lr·m̂` before.
///
/// # Source
/// Liu et al. 2020; PyTorch's `torch.optim.RAdam`.
#[derive(Debug)]
pub struct RAdam {
    config: RAdamConfig,
    moments: Moments,
}

impl RAdam {
    /// An optimiser of these parameters.
    pub fn new(config: &RAdamConfig, params: Vec<Param>) -> Self {
        Self { config: config.clone(), moments: Moments::new(config.betas, params) }
    }
}

impl Optimizer for RAdam {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        let (t, beta1, beta2) = self.moments.begin(rates);
        let t = t as f64;
        let correction2 = 1.0 - beta2.powf(t);
        let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        let rho = rho_inf - 2.0 * t * beta2.powf(t) / correction2;
        let rectified = (rho > 5.0).then(|| {
            ((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)).sqrt()
                * correction2.sqrt()
        });
        let eps = self.config.eps as f32;
        let decay = Decay::decoupled(self.config.decoupled);
        let adaptive = rectified.is_some();
        self.moments.step(grads, rates, decay, MomentUpdate::new(beta1, beta2), |lr| {
            let step_size = (lr * rectified.unwrap_or(1.0) / (1.0 - beta1.powf(t))) as f32;
            move |_, mean: f32, square: f32| {
                let root = if adaptive { square.sqrt() + eps } else { 1.0 };
                step_size * mean / root
            }
        })
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.moments.save()
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.moments.load(state)
    }
}
