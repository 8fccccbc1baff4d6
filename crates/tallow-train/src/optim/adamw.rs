//! AdamW: Adam whose weight decay shrinks the weights beside the step.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::adam::Moments;
use super::{Optimizer, Param, betas_invalid, eps_invalid};
use crate::{Rates, Result};

/// `optim.name = "adamw"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// How much of the running mean and of the running square is kept, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl AdamWConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        betas_invalid(self.betas).or(eps_invalid(self.eps))
    }
}

/// AdamW: `p ← (1 − lr·λ)·p`, then Adam's step.
///
/// # Source
/// Loshchilov & Hutter 2019; PyTorch's `torch.optim.AdamW` (`amsgrad=False`).
#[derive(Debug)]
pub struct AdamW(Moments);

impl AdamW {
    /// An optimiser of these parameters.
    pub fn new(config: &AdamWConfig, params: Vec<Param>) -> Self {
        Self(Moments::new(config.betas, config.eps, params))
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.0.step(grads, rates, true)
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.0.state.save(&self.0.params)
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.0.state.load(&self.0.params, state)
    }
}
