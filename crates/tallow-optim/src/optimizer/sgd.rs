//! Stochastic gradient descent with plain or Nesterov momentum.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::moments::Decay;
use super::state::State;
use super::update::update;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, momentum};
use crate::{Rates, Result};

/// `optim.name = "sgd"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// The momentum, 0 to below 1.
    pub momentum: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// Whether the weight decay is decoupled (SGDW): it shrinks the weights instead of being added to the gradient (L2).
    pub decoupled: bool,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: true, decoupled: false }
    }
}

impl OptimizerOptions for SgdConfig {
    fn lr(&self) -> f64 {
        0.1
    }

    fn validate(&self) -> Validity {
        momentum(self.momentum)
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Sgd::new(self, params))
    }
}

/// SGD: with the gradient `g` (plus `λ·p` for L2 decay), `b ← μ·b + g`, then `p ← p − lr·(g + μ·b)` (Nesterov) or
/// `p ← p − lr·b`.
///
/// # Source
/// PyTorch's `torch.optim.SGD` (dampening 0); decoupled: Loshchilov & Hutter 2019, timm's `SGDW`.
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    params: Vec<Param>,
    state: State<1>,
}

impl Sgd {
    /// An optimiser of these parameters.
    pub fn new(config: &SgdConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("momentum_buffer", config.momentum > 0.0)]);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let momentum = rates.momentum.unwrap_or(self.config.momentum) as f32;
        let nesterov = self.config.nesterov;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (l2, shrink) = Decay::decoupled(self.config.decoupled).factors(lr, decay);
            let lr = lr as f32;
            update(&param.var, grad, vectors, |p, g, [buffer]| {
                if buffer.is_empty() {
                    for (p, &g) in p.iter_mut().zip(g) {
                        *p = *p * shrink - lr * (g + l2 * *p);
                    }
                    return;
                }
                for ((p, &g), buffer) in p.iter_mut().zip(g).zip(buffer) {
                    let g = g + l2 * *p;
                    *buffer = momentum * *buffer + g;
                    let direction = if nesterov { g + momentum * *buffer } else { *buffer };
                    *p = *p * shrink - lr * direction;
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
