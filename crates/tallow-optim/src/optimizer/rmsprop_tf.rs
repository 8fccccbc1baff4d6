//! RMSprop as in TensorFlow, which EfficientNet and MobileNet were trained with.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::moments::Decay;
use super::state::State;
use super::update::update;
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, check, eps, momentum};
use crate::{Rates, Result};

/// `optim.name = "rmsprop_tf"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RmsPropTfConfig {
    /// The decay rate of the running square, 0 to below 1.
    pub alpha: f64,
    /// Added to the running square under the root, above 0.
    pub eps: f64,
    /// The momentum, 0 to below 1.
    pub momentum: f64,
    /// Whether the squared running mean is subtracted from the running square, which makes it a variance.
    pub centered: bool,
    /// Whether the momentum accumulates steps (learning rate included) instead of scaled gradients.
    pub lr_in_momentum: bool,
    /// Whether the weight decay is decoupled: it shrinks the weights instead of being added to the gradient (L2).
    pub decoupled: bool,
}

impl Default for RmsPropTfConfig {
    fn default() -> Self {
        Self { alpha: 0.9, eps: 1e-10, momentum: 0.0, centered: false, lr_in_momentum: true, decoupled: false }
    }
}

impl OptimizerOptions for RmsPropTfConfig {
    fn lr(&self) -> f64 {
        0.01
    }

    fn validate(&self) -> Validity {
        check((0.0..1.0).contains(&self.alpha), "alpha", "a number from 0 to below 1")
            .and(momentum(self.momentum))
            .and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(RmsPropTf::new(self, params))
    }
}

/// `v ← v + (1−α)(g² − v)` from 1 on, `b ← μ·b + lr·g/√(v + ε)`, `p ← p − b`.
///
/// # Source
/// Hinton's lecture 6e (2012), TensorFlow's variant; timm's `RMSpropTF`.
#[derive(Debug)]
pub struct RmsPropTf {
    config: RmsPropTfConfig,
    params: Vec<Param>,
    state: State<3>,
}

impl RmsPropTf {
    /// An optimiser of these parameters.
    pub fn new(config: &RmsPropTfConfig, params: Vec<Param>) -> Self {
        let state = State::new(
            &params,
            [("square_avg", true), ("momentum_buffer", config.momentum > 0.0), ("grad_avg", config.centered)],
        );
        let mut state = state;
        state.vectors.iter_mut().for_each(|[square, ..]| square.fill(1.0));
        Self { config: config.clone(), params, state }
    }
}

impl Optimizer for RmsPropTf {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let eps = self.config.eps as f32;
        let take = (1.0 - self.config.alpha) as f32;
        let momentum = rates.momentum.unwrap_or(self.config.momentum) as f32;
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (l2, shrink) = Decay::decoupled(self.config.decoupled).factors(lr, decay);
            let (inside, outside) = if self.config.lr_in_momentum { (lr as f32, 1.0) } else { (1.0, lr as f32) };
            update(&param.var, grad, vectors, |p, g, [square, buffer, mean]| {
                for (i, ((p, &g), square)) in p.iter_mut().zip(g).zip(square).enumerate() {
                    let g = g + l2 * *p;
                    *square += take * (g * g - *square);
                    let mut variance = *square;
                    if let Some(mean) = mean.get_mut(i) {
                        *mean += take * (g - *mean);
                        variance -= *mean * *mean;
                    }
                    let scaled = inside * (g / (variance + eps).sqrt());
                    let step = match buffer.get_mut(i) {
                        Some(buffer) => {
                            *buffer = momentum * *buffer + scaled;
                            *buffer
                        }
                        None => scaled,
                    };
                    *p = *p * shrink - outside * step;
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
