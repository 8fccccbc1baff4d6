//! LAMB: Adam whose step is scaled by each parameter's norm, for large batches.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::{norm, update};
use super::{Optimizer, Param, betas_invalid, eps_invalid};
use crate::{Rates, Result};

/// `optim.name = "lamb"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LambConfig {
    /// How much of the running mean and of the running square is kept, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// The highest norm of all gradients together; 0 for no limit.
    pub max_grad_norm: f64,
    /// Whether the trust ratio is held at 1 or below.
    pub trust_clip: bool,
    /// Whether parameters without weight decay are scaled by their norm too.
    pub always_adapt: bool,
}

impl Default for LambConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-6, max_grad_norm: 1.0, trust_clip: false, always_adapt: false }
    }
}

impl LambConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        let norm = self.max_grad_norm;
        let norm = (!(norm >= 0.0 && norm.is_finite())).then_some(("max_grad_norm", "0 or more"));
        betas_invalid(self.betas).or(eps_invalid(self.eps)).or(norm)
    }
}

/// `u = m̂/(√v̂ + ε) + λ·p`, `p ← p − lr·(‖p‖/‖u‖)·u`; the ratio is 1 where a norm is 0, and for parameters without decay.
///
/// # Source
/// You et al. 2020; timm's `Lamb` (with bias correction and gradient averaging).
#[derive(Debug)]
pub struct Lamb {
    config: LambConfig,
    params: Vec<Param>,
    state: State<2>,
}

impl Lamb {
    /// An optimiser of these parameters.
    pub fn new(config: &LambConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("exp_avg", true), ("exp_avg_sq", true)]);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for Lamb {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let (beta1, beta2) = (rates.momentum.unwrap_or(self.config.betas.0), self.config.betas.1);
        let t = self.state.steps as f64;
        let mut total = 0.0;
        for param in &self.params {
            if let Some(grad) = grads.get(&param.var) {
                total += norm(grad)?.powi(2);
            }
        }
        let limit = self.config.max_grad_norm;
        let clip = if limit > 0.0 { (total.sqrt() / limit).max(1.0) as f32 } else { 1.0 };
        let (correction1, root_correction) = ((1.0 - beta1.powf(t)) as f32, (1.0 - beta2.powf(t)).sqrt() as f32);
        let (keep2, take1, take2) = (beta2 as f32, (1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let eps = self.config.eps as f32;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let l2 = decay as f32;
            let direction = param.var.as_detached_tensor().contiguous()?.copy()?;
            update(&direction, grad, vectors, |p, g, [mean, square]| {
                for (((p, &g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
                    let g = g / clip;
                    *mean += take1 * (g - *mean);
                    *square = keep2 * *square + take2 * g * g;
                    *p = (*mean / correction1) / (square.sqrt() / root_correction + eps) + l2 * *p;
                }
            })?;
            let mut trust = 1.0;
            if decay != 0.0 || self.config.always_adapt {
                let (weight, step) = (norm(&param.var)?, norm(&direction)?);
                if weight > 0.0 && step > 0.0 {
                    trust = weight / step;
                }
                if self.config.trust_clip {
                    trust = trust.min(1.0);
                }
            }
            let step_size = (lr * trust) as f32;
            update(&param.var, &direction, &mut [], |p, direction, []| {
                for (p, direction) in p.iter_mut().zip(direction) {
                    *p -= step_size * direction;
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
