//! NAdam: Adam with Nesterov momentum.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::moments::{Decay, MomentUpdate, Moments};
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas, eps, not_negative};
use crate::{Rates, Result};

/// `optim.name = "nadam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NAdamConfig {
    /// The decay rates of the running mean and of the running square of the gradient, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// The rate at which the momentum rises to β₁, 0 or more.
    pub momentum_decay: f64,
    /// Whether the weight decay is decoupled: it shrinks the weights instead of being added to the gradient (L2).
    pub decoupled: bool,
}

impl Default for NAdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, momentum_decay: 4e-3, decoupled: false }
    }
}

impl OptimizerOptions for NAdamConfig {
    fn lr(&self) -> f64 {
        2e-3
    }

    fn validate(&self) -> Validity {
        betas(self.betas).and(eps(self.eps)).and(not_negative("momentum_decay", self.momentum_decay))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(NAdam::new(self, params))
    }
}

/// NAdam: with `μₜ = β₁·(1 − 0.96^(t·ψ)/2)`, `p ← p − lr·((1−μₜ)/(1−Πμ)·g + μₜ₊₁/(1−Πμ·μₜ₊₁)·m) / (√v̂ + ε)`.
///
/// # Source
/// Dozat 2016; PyTorch's `torch.optim.NAdam`.
#[derive(Debug)]
pub struct NAdam {
    config: NAdamConfig,
    moments: Moments,
}

impl NAdam {
    /// An optimiser of these parameters.
    pub fn new(config: &NAdamConfig, params: Vec<Param>) -> Self {
        Self { config: config.clone(), moments: Moments::new(config.betas, params) }
    }
}

impl Optimizer for NAdam {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        let (t, beta1, beta2) = self.moments.begin(rates);
        let momentum_decay = self.config.momentum_decay;
        let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * momentum_decay));
        // The product is taken from the first step on, so that it need not be saved. A schedule that moves β₁ moves all of it.
        let product: f64 = (1..=t).map(mu).product();
        let correction = (1.0 - beta2.powf(t as f64)) as f32;
        let eps = self.config.eps as f32;
        let decay = Decay::decoupled(self.config.decoupled);
        self.moments.step(grads, rates, decay, MomentUpdate::new(beta1, beta2), |lr| {
            let by_grad = (lr * (1.0 - mu(t)) / (1.0 - product)) as f32;
            let by_mean = (lr * mu(t + 1) / (1.0 - product * mu(t + 1))) as f32;
            move |g: f32, mean: f32, square: f32| {
                let root = (square / correction).sqrt() + eps;
                (by_grad * g + by_mean * mean) / root
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
