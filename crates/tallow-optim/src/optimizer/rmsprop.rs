//! RMSprop: steps scaled by a running square of the gradient.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, check, eps, momentum};
use crate::{Rates, Result};

/// `optim.name = "rmsprop"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RmsPropConfig {
    /// The decay rate of the running square, 0 to below 1.
    pub alpha: f64,
    /// Added to the root of the running square (outside the root, unlike TensorFlow), above 0.
    pub eps: f64,
    /// The momentum, 0 to below 1.
    pub momentum: f64,
    /// Whether the squared running mean is subtracted from the running square, which makes it a variance.
    pub centered: bool,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false }
    }
}

impl OptimizerOptions for RmsPropConfig {
    fn lr(&self) -> f64 {
        0.01
    }

    fn validate(&self) -> Validity {
        check((0.0..1.0).contains(&self.alpha), "alpha", "a number from 0 to below 1")
            .and(momentum(self.momentum))
            .and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(RmsProp::new(self, params))
    }
}

/// RMSprop: `v ← α·v + (1−α)·g²`, `b ← μ·b + g / (√v + ε)`, `p ← p − lr·b`; centered: `v − m²` under the root.
///
/// # Source
/// Hinton's lecture 6e (2012); PyTorch's `torch.optim.RMSprop`.
#[derive(Debug)]
pub struct RmsProp {
    config: RmsPropConfig,
    params: Vec<Param>,
    state: State<3>,
}

impl RmsProp {
    /// An optimiser of these parameters.
    pub fn new(config: &RmsPropConfig, params: Vec<Param>) -> Self {
        let kinds = [("square_avg", true), ("momentum_buffer", config.momentum > 0.0), ("grad_avg", config.centered)];
        let state = State::new(&params, kinds);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for RmsProp {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let eps = self.config.eps as f32;
        let (keep, take) = (self.config.alpha as f32, (1.0 - self.config.alpha) as f32);
        let momentum = rates.momentum.unwrap_or(self.config.momentum) as f32;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (l2, lr) = (decay as f32, lr as f32);
            update(&param.var, grad, vectors, |p, g, [square, buffer, mean]| {
                for (i, ((p, &g), square)) in p.iter_mut().zip(g).zip(square).enumerate() {
                    let g = g + l2 * *p;
                    *square = keep * *square + take * g * g;
                    let mut variance = *square;
                    if let Some(mean) = mean.get_mut(i) {
                        *mean += take * (g - *mean);
                        variance -= *mean * *mean;
                    }
                    let scaled = g / (variance.sqrt() + eps);
                    *p -= lr
                        * match buffer.get_mut(i) {
                            Some(buffer) => {
                                *buffer = momentum * *buffer + scaled;
                                *buffer
                            }
                            None => scaled,
                        };
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
