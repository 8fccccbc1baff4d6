//! LARS: SGD with steps scaled by the norm of each parameter, for large batches.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::state::State;
use super::update::{norm, update};
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, eps, momentum, positive};
use crate::{Rates, Result};

/// `optim.name = "lars"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LarsConfig {
    /// The momentum, 0 to below 1.
    pub momentum: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// The trust coefficient, above 0: the norm of a step relative to the norm of the parameter.
    pub trust_coeff: f64,
    /// Added to the norms in denominators, above 0.
    pub eps: f64,
    /// Whether the trust ratio is clipped at 1.
    pub trust_clip: bool,
    /// Whether the steps of parameters without weight decay are scaled too.
    pub always_adapt: bool,
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, trust_coeff: 0.001, eps: 1e-8, trust_clip: false, always_adapt: false }
    }
}

impl OptimizerOptions for LarsConfig {
    fn lr(&self) -> f64 {
        1.0
    }

    fn validate(&self) -> Validity {
        momentum(self.momentum).and(eps(self.eps)).and(positive("trust_coeff", self.trust_coeff))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Lars::new(self, params))
    }
}

/// `g ← η·‖p‖/(‖g‖ + λ‖p‖ + ε) · (g + λ·p)`, then SGD with momentum; parameters without decay are not scaled.
///
/// # Source
/// You et al. 2017; timm's `Lars` (its momentum's default is 0).
#[derive(Debug)]
pub struct Lars {
    config: LarsConfig,
    params: Vec<Param>,
    state: State<1>,
}

impl Lars {
    /// An optimiser of these parameters.
    pub fn new(config: &LarsConfig, params: Vec<Param>) -> Self {
        let state = State::new(&params, [("momentum_buffer", config.momentum > 0.0)]);
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for Lars {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let momentum = rates.momentum.unwrap_or(self.config.momentum) as f32;
        let LarsConfig { nesterov, trust_coeff, eps, trust_clip, always_adapt, .. } = self.config;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let mut trust = 1.0;
            if decay != 0.0 || always_adapt {
                let (weight, slope) = (norm(&param.var)?, norm(grad)?);
                if weight > 0.0 && slope > 0.0 {
                    trust = trust_coeff * weight / (slope + weight * decay + eps);
                }
                if trust_clip {
                    trust = (trust / lr).min(1.0);
                }
            }
            let (lr, l2, trust) = (lr as f32, decay as f32, trust as f32);
            update(&param.var, grad, vectors, |p, g, [buffer]| {
                for (i, (p, &g)) in p.iter_mut().zip(g).enumerate() {
                    let g = (g + l2 * *p) * trust;
                    let direction = match buffer.get_mut(i) {
                        Some(buffer) => {
                            *buffer = momentum * *buffer + g;
                            if nesterov { g + momentum * *buffer } else { *buffer }
                        }
                        None => g,
                    };
                    *p -= lr * direction;
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
