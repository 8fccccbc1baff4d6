//! AdamW: Adam with decoupled weight decay.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::adam::AdamStep;
use super::moments::Decay;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas, eps};
use crate::{Rates, Result};

/// `optim.name = "adamw"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// The decay rates of the running mean and of the running square of the gradient, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl OptimizerOptions for AdamWConfig {
    fn lr(&self) -> f64 {
        1e-3
    }

    fn weight_decay(&self) -> f64 {
        0.01
    }

    fn validate(&self) -> Validity {
        betas(self.betas).and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(AdamW::new(self, params))
    }
}

/// AdamW: `p ← (1 − lr·λ)·p`, then Adam's step.
///
/// # Source
/// Loshchilov & Hutter 2019; PyTorch's `torch.optim.AdamW` (`amsgrad=False`).
#[derive(Debug)]
pub struct AdamW(AdamStep);

impl AdamW {
    /// An optimiser of these parameters.
    pub fn new(config: &AdamWConfig, params: Vec<Param>) -> Self {
        Self(AdamStep::new(config.betas, config.eps, params))
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.0.step(grads, rates, Decay::Decoupled)
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.0.moments.save()
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.0.moments.load(state)
    }
}
