//! LAMB: Adam with steps scaled by the norm of each parameter, for large batches.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::moments::{MomentUpdate, Moments};
use super::update::{norm, update};
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas, eps, not_negative};
use crate::{Rates, Result};

/// `optim.name = "lamb"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LambConfig {
    /// The decay rates of the running mean and of the running square of the gradient, each 0 to below 1.
    pub betas: (f64, f64),
    /// Added to the root of the running square, above 0.
    pub eps: f64,
    /// The limit of the norm of all gradients together; 0 for no limit.
    pub max_grad_norm: f64,
    /// Whether the trust ratio is clipped at 1.
    pub trust_clip: bool,
    /// Whether the steps of parameters without weight decay are scaled too.
    pub always_adapt: bool,
}

impl Default for LambConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-6, max_grad_norm: 1.0, trust_clip: false, always_adapt: false }
    }
}

impl OptimizerOptions for LambConfig {
    fn lr(&self) -> f64 {
        1e-3
    }

    fn weight_decay(&self) -> f64 {
        0.01
    }

    fn validate(&self) -> Validity {
        betas(self.betas).and(eps(self.eps)).and(not_negative("max_grad_norm", self.max_grad_norm))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Lamb::new(self, params))
    }
}

/// `u = m̂/(√v̂ + ε) + λ·p`, `p ← p − lr·(‖p‖/‖u‖)·u`; the ratio is 1 where a norm is 0, and for parameters without decay.
///
/// # Source
/// You et al. 2020; timm's `Lamb` (with bias correction and gradient averaging).
#[derive(Debug)]
pub struct Lamb {
    config: LambConfig,
    moments: Moments,
}

impl Lamb {
    /// An optimiser of these parameters.
    pub fn new(config: &LambConfig, params: Vec<Param>) -> Self {
        Self { config: config.clone(), moments: Moments::new(config.betas, params) }
    }
}

impl Optimizer for Lamb {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        let (t, beta1, beta2) = self.moments.begin(rates);
        let t = t as f64;
        let mut total = 0.0;
        for param in &self.moments.params {
            if let Some(grad) = grads.get(&param.var) {
                total += norm(grad)?.powi(2);
            }
        }
        let limit = self.config.max_grad_norm;
        let clip = if limit > 0.0 { (total.sqrt() / limit).max(1.0) as f32 } else { 1.0 };
        let (correction1, root_correction) = ((1.0 - beta1.powf(t)) as f32, (1.0 - beta2.powf(t)).sqrt() as f32);
        let moments = MomentUpdate::new(beta1, beta2);
        let eps = self.config.eps as f32;
        for (param, vectors) in self.moments.params.iter().zip(&mut self.moments.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let l2 = decay as f32;
            let direction = param.var.as_detached_tensor().contiguous()?.copy()?;
            update(&direction, grad, vectors, |p, g, [mean, square]| {
                for (((p, &g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
                    let g = g / clip;
                    moments.add(g, mean, square);
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
        self.moments.save()
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.moments.load(state)
    }
}
