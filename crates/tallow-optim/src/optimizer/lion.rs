//! Lion: all parameters step by the same amount, by the sign of the momentum.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas};
use crate::{Rates, Result};

/// `optim.name = "lion"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LionConfig {
    /// The weight of the momentum in the step, and its decay rate, each 0 to below 1.
    pub betas: (f64, f64),
}

impl Default for LionConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.99) }
    }
}

impl OptimizerOptions for LionConfig {
    fn lr(&self) -> f64 {
        1e-4
    }

    fn validate(&self) -> Validity {
        betas(self.betas)
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Lion::new(self, params))
    }
}

/// `p ← (1 − lr·λ)·p − lr·sign(β₁·m + (1−β₁)·g)`, then `m ← β₂·m + (1−β₂)·g`.
///
/// # Source
/// Chen et al. 2023; timm's `Lion`.
#[derive(Debug)]
pub struct Lion {
    config: LionConfig,
    params: Vec<Param>,
    state: State<1>,
}

impl Lion {
    /// An optimiser of these parameters.
    pub fn new(config: &LionConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("exp_avg", true)]);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for Lion {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let (beta1, beta2) = (rates.momentum.unwrap_or(self.config.betas.0), self.config.betas.1);
        let (take1, take2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (lr, shrink) = (lr as f32, (1.0 - lr * decay) as f32);
            update(&param.var, grad, vectors, |p, g, [mean]| {
                for ((p, &g), mean) in p.iter_mut().zip(g).zip(mean) {
                    let direction = *mean + take1 * (g - *mean);
                    // f32::signum gives 1 for 0, where torch's sign gives 0.
                    let sign = if direction == 0.0 { 0.0 } else { direction.signum() };
                    *p = *p * shrink - lr * sign;
                    *mean += take2 * (g - *mean);
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
