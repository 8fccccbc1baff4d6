//! NAdam: Adam with Nesterov's momentum.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, Param, betas_invalid, eps_invalid};
use crate::{Rates, Result};

/// `optim.name = "nadam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NAdamConfig {
    /// How much of the running mean and of the running square is kept, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// How fast the momentum climbs to β₁, 0 or more.
    pub momentum_decay: f64,
    /// Whether the decay shrinks the weights beside the step instead of joining the gradient (L2).
    pub decoupled: bool,
}

impl Default for NAdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, momentum_decay: 4e-3, decoupled: false }
    }
}

impl NAdamConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        let decay = self.momentum_decay;
        let decay = (!(decay >= 0.0 && decay.is_finite())).then_some(("momentum_decay", "0 or more"));
        betas_invalid(self.betas).or(eps_invalid(self.eps)).or(decay)
    }
}

/// NAdam: with `μₜ = β₁·(1 − 0.96^(t·ψ)/2)`, `p ← p − lr·((1−μₜ)/(1−Πμ)·g + μₜ₊₁/(1−Πμ·μₜ₊₁)·m) / (√v̂ + ε)`.
///
/// # Source
/// Dozat 2016; PyTorch's `torch.optim.NAdam`.
#[derive(Debug)]
pub struct NAdam {
    config: NAdamConfig,
    params: Vec<Param>,
    state: State<2>,
}

impl NAdam {
    /// An optimiser of these parameters.
    pub fn new(config: &NAdamConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("exp_avg", true), ("exp_avg_sq", true)]);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for NAdam {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let (beta1, beta2) = (rates.momentum.unwrap_or(self.config.betas.0), self.config.betas.1);
        let t = self.state.steps;
        let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * self.config.momentum_decay));
        // From the first step on: nothing more to save. A schedule that moves β₁ moves all of the product.
        let product: f64 = (1..=t).map(mu).product();
        let correction = (1.0 - beta2.powf(t as f64)) as f32;
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
            let by_grad = (lr * (1.0 - mu(t)) / (1.0 - product)) as f32;
            let by_mean = (lr * mu(t + 1) / (1.0 - product * mu(t + 1))) as f32;
            update(&param.var, grad, vectors, |p, g, [mean, square]| {
                for (((p, &g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
                    let g = g + l2 * *p;
                    *mean += take1 * (g - *mean);
                    *square = keep2 * *square + take2 * g * g;
                    let root = (*square / correction).sqrt() + eps;
                    *p = *p * shrink - (by_grad * g + by_mean * *mean) / root;
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
