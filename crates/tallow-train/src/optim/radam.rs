//! RAdam: Adam that steps by plain momentum until it is sure of its running square.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, Param, betas_invalid, eps_invalid};
use crate::{Rates, Result};

/// `optim.name = "radam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RAdamConfig {
    /// How much of the running mean and of the running square is kept, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// Whether the decay shrinks the weights beside the step instead of joining the gradient (L2).
    pub decoupled: bool,
}

impl Default for RAdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, decoupled: false }
    }
}

impl RAdamConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        betas_invalid(self.betas).or(eps_invalid(self.eps))
    }
}

/// RAdam: `p ← p − lr·r·m̂·√(1−β₂ᵗ)/(√v + ε)` with the rectification `r` where the variance can be told (ρₜ > 5),
/// `p ← p − lr·m̂` before.
///
/// # Source
/// Liu et al. 2020; PyTorch's `torch.optim.RAdam`.
#[derive(Debug)]
pub struct RAdam {
    config: RAdamConfig,
    params: Vec<Param>,
    state: State<2>,
}

impl RAdam {
    /// An optimiser of these parameters.
    pub fn new(config: &RAdamConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("exp_avg", true), ("exp_avg_sq", true)]);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for RAdam {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let (beta1, beta2) = (rates.momentum.unwrap_or(self.config.betas.0), self.config.betas.1);
        let t = self.state.steps as f64;
        let correction2 = 1.0 - beta2.powf(t);
        let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        let rho = rho_inf - 2.0 * t * beta2.powf(t) / correction2;
        let rectified = (rho > 5.0).then(|| {
            ((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)).sqrt()
                * correction2.sqrt()
        });
        let (keep2, take1, take2) = (beta2 as f32, (1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let eps = self.config.eps as f32;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (l2, shrink) = match self.config.decoupled {
                true => (0.0, (1.0 - lr * decay) as f32),
                false => (decay as f32, 1.0),
            };
            let step_size = (lr * rectified.unwrap_or(1.0) / (1.0 - beta1.powf(t))) as f32;
            let adaptive = rectified.is_some();
            update(&param.var, grad, vectors, |p, g, [mean, square]| {
                for (((p, &g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
                    let g = g + l2 * *p;
                    *mean += take1 * (g - *mean);
                    *square = keep2 * *square + take2 * g * g;
                    let root = if adaptive { square.sqrt() + eps } else { 1.0 };
                    *p = *p * shrink - step_size * *mean / root;
                }
            })?;
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.state.save(&self.params)
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.state.load(&self.params, state)
    }
}
