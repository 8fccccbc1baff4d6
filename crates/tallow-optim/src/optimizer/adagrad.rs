//! Adagrad: rates by the sum of all squared gradients so far.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, eps, not_negative};
use crate::{Rates, Result};

/// `optim.name = "adagrad"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdagradConfig {
    /// The decay of the learning rate, 0 or more: step `t` uses `lr / (1 + (t − 1)·lr_decay)`.
    pub lr_decay: f64,
    /// The initial value of the sums, 0 or more.
    pub initial_accumulator_value: f64,
    /// Added to the root of the sum, above 0.
    pub eps: f64,
}

impl Default for AdagradConfig {
    fn default() -> Self {
        Self { lr_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10 }
    }
}

impl OptimizerOptions for AdagradConfig {
    fn lr(&self) -> f64 {
        0.01
    }

    fn validate(&self) -> Validity {
        not_negative("lr_decay", self.lr_decay)
            .and(not_negative("initial_accumulator_value", self.initial_accumulator_value))
            .and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Adagrad::new(self, params))
    }
}

/// `v ← v + g²`, `p ← p − lr·g / (√v + ε)`; weight decay joins the gradient (L2).
///
/// # Source
/// Duchi et al. 2011; PyTorch's `torch.optim.Adagrad`.
#[derive(Debug)]
pub struct Adagrad {
    config: AdagradConfig,
    params: Vec<Param>,
    state: State<1>,
}

impl Adagrad {
    /// An optimiser of these parameters.
    pub fn new(config: &AdagradConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("sum", true)]);
        let mut state = state;
        let start = config.initial_accumulator_value as f32;
        state.vectors.iter_mut().for_each(|[sum]| sum.fill(start));
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for Adagrad {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let eps = self.config.eps as f32;
        let slowed = 1.0 + (self.state.steps - 1) as f64 * self.config.lr_decay;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (l2, lr) = (decay as f32, (lr / slowed) as f32);
            update(&param.var, grad, vectors, |p, g, [sum]| {
                for ((p, &g), sum) in p.iter_mut().zip(g).zip(sum) {
                    let g = g + l2 * *p;
                    *sum += g * g;
                    *p -= lr * (g / (sum.sqrt() + eps));
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
