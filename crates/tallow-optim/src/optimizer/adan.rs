//! Adan: Adam with Nesterov momentum estimated from the difference of the last two gradients.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::update;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, check, eps};
use crate::{Rates, Result};

/// `optim.name = "adan"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdanConfig {
    /// The decay rates of the running mean, the running difference and the running square of the gradient, each 0 to below 1.
    pub betas: (f64, f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// Whether the weight decay shrinks the weights before the step, as in AdamW, instead of dividing them after it.
    pub no_prox: bool,
}

impl Default for AdanConfig {
    fn default() -> Self {
        Self { betas: (0.98, 0.92, 0.99), eps: 1e-8, no_prox: false }
    }
}

impl OptimizerOptions for AdanConfig {
    fn lr(&self) -> f64 {
        1e-3
    }

    fn validate(&self) -> Validity {
        let (beta1, beta2, beta3) = self.betas;
        let valid = [beta1, beta2, beta3].iter().all(|beta| (0.0..1.0).contains(beta));
        check(valid, "betas", "three numbers from 0 to below 1").and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Adan::new(self, params))
    }
}

/// `m ← β₁m + (1−β₁)g`, `d ← β₂d + (1−β₂)(g−g')`, `v ← β₃v + (1−β₃)(g + β₂(g−g'))²`,
/// `p ← (p − lr·(m̂ + β₂·d̂)/(√v̂ + ε)) / (1 + lr·λ)`.
///
/// # Source
/// Xie et al. 2022; timm's `Adan`.
#[derive(Debug)]
pub struct Adan {
    config: AdanConfig,
    params: Vec<Param>,
    state: State<4>,
}

impl Adan {
    /// An optimiser of these parameters.
    pub fn new(config: &AdanConfig, params: Vec<Param>) -> Self {
        let state = State::new(
            &params,
            [("exp_avg", true), ("exp_avg_diff", true), ("exp_avg_sq", true), ("neg_pre_grad", true)],
        );
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for Adan {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let (beta1, beta2, beta3) = self.config.betas;
        let beta1 = rates.momentum.unwrap_or(beta1);
        let t = self.state.steps as f64;
        let first = self.state.steps == 1;
        let root_correction = (1.0 - beta3.powf(t)).sqrt() as f32;
        let (keep2, keep3) = (beta2 as f32, beta3 as f32);
        let (take1, take2, take3) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32, (1.0 - beta3) as f32);
        let eps = self.config.eps as f32;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let by_mean = (lr / (1.0 - beta1.powf(t))) as f32;
            let by_difference = (lr * beta2 / (1.0 - beta2.powf(t))) as f32;
            let (before, after) = match self.config.no_prox {
                true => ((1.0 - lr * decay) as f32, 1.0),
                false => (1.0, (1.0 + lr * decay) as f32),
            };
            update(&param.var, grad, vectors, |p, g, [mean, difference, square, last]| {
                let rows = p.iter_mut().zip(g).zip(mean).zip(difference).zip(square).zip(last);
                for (((((p, &g), mean), difference), square), last) in rows {
                    let change = if first { 0.0 } else { *last + g };
                    *mean += take1 * (g - *mean);
                    *difference = keep2 * *difference + take2 * change;
                    let ahead = keep2 * change + g;
                    *square = keep3 * *square + take3 * ahead * ahead;
                    let root = square.sqrt() / root_correction + eps;
                    *p = (*p * before - by_mean * *mean / root - by_difference * *difference / root) / after;
                    *last = -g;
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
