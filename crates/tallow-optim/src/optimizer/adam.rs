//! Adam: steps scaled by running moments of the gradient; weight decay is L2 regularisation.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::moments::{Decay, MomentUpdate, Moments};
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas, eps};
use crate::{Rates, Result};

/// `optim.name = "adam"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// The decay rates of the running mean and of the running square of the gradient, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl OptimizerOptions for AdamConfig {
    fn lr(&self) -> f64 {
        1e-3
    }

    fn validate(&self) -> Validity {
        betas(self.betas).and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Adam::new(self, params))
    }
}

/// Adam: `m ← m + (1−β₁)(g − m)`, `v ← β₂·v + (1−β₂)·g²`, `p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)`.
///
/// # Source
/// Kingma & Ba 2015; PyTorch's `torch.optim.Adam` (`amsgrad=False`).
#[derive(Debug)]
pub struct Adam(AdamStep);

impl Adam {
    /// An optimiser of these parameters.
    pub fn new(config: &AdamConfig, params: Vec<Param>) -> Self {
        Self(AdamStep::new(config.betas, config.eps, params))
    }
}

impl Optimizer for Adam {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.0.step(grads, rates, Decay::L2)
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.0.moments.save()
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.0.moments.load(state)
    }
}

/// The step of Adam, AdamW and Muon's vectors; they differ in where the weight decay goes.
#[derive(Debug)]
pub(super) struct AdamStep {
    eps: f64,
    pub moments: Moments,
}

impl AdamStep {
    pub fn new(betas: (f64, f64), eps: f64, params: Vec<Param>) -> Self {
        Self { eps, moments: Moments::new(betas, params) }
    }

    pub fn step(&mut self, grads: &Gradients, rates: Rates, decay: Decay) -> Result<()> {
        let (t, beta1, beta2) = self.moments.begin(rates);
        let t = t as f64;
        let root_correction = (1.0 - beta2.powf(t)).sqrt() as f32;
        let eps = self.eps as f32;
        self.moments.step(grads, rates, decay, MomentUpdate::new(beta1, beta2), |lr| {
            let step_size = (lr / (1.0 - beta1.powf(t))) as f32;
            move |_, mean: f32, square: f32| step_size * mean / (square.sqrt() / root_correction + eps)
        })
    }
}
