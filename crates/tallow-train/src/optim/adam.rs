//! Adam: steps scaled by running moments of the gradient, weight decay as L2 regularisation.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, Param, betas_invalid, eps_invalid};
use crate::{Rates, Result};

/// `optim.name = "adam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// How much of the running mean and of the running square is kept, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl AdamConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        betas_invalid(self.betas).or(eps_invalid(self.eps))
    }
}

/// Adam: `m ← m + (1−β₁)(g − m)`, `v ← β₂·v + (1−β₂)·g²`, `p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)`.
///
/// # Source
/// Kingma & Ba 2015; PyTorch's `torch.optim.Adam` (`amsgrad=False`).
#[derive(Debug)]
pub struct Adam(Moments);

impl Adam {
    /// An optimiser of these parameters.
    pub fn new(config: &AdamConfig, params: Vec<Param>) -> Self {
        Self(Moments::new(config.betas, config.eps, params))
    }
}

impl Optimizer for Adam {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.0.step(grads, rates, false)
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.0.state.save(&self.0.params)
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.0.state.load(&self.0.params, state)
    }
}

/// What Adam and AdamW share: all but where the weight decay goes.
#[derive(Debug)]
pub(super) struct Moments {
    betas: (f64, f64),
    eps: f64,
    pub params: Vec<Param>,
    pub state: State<2>,
}

impl Moments {
    pub fn new(betas: (f64, f64), eps: f64, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("exp_avg", true), ("exp_avg_sq", true)]);
        Self { betas, eps, params, state }
    }

    pub fn step(&mut self, grads: &Gradients, rates: Rates, decoupled: bool) -> Result<()> {
        self.state.steps += 1;
        let (beta1, beta2) = (rates.momentum.unwrap_or(self.betas.0), self.betas.1);
        let t = self.state.steps as f64;
        let root_correction = (1.0 - beta2.powf(t)).sqrt() as f32;
        let (keep2, take1, take2) = (beta2 as f32, (1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let eps = self.eps as f32;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let step_size = (lr / (1.0 - beta1.powf(t))) as f32;
            let (l2, shrink) = match decoupled {
                true => (0.0, (1.0 - lr * decay) as f32),
                false => (decay as f32, 1.0),
            };
            update(&param.var, grad, vectors, |p, g, [mean, square]| {
                for (((p, &g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
                    let g = g + l2 * *p;
                    *mean += take1 * (g - *mean);
                    *square = keep2 * *square + take2 * g * g;
                    *p = *p * shrink - step_size * *mean / (square.sqrt() / root_correction + eps);
                }
            })?;
        }
        Ok(())
    }
}
