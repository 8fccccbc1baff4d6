//! The running moments of the gradient that Adam and its relatives share.

use candle_core::Tensor;
use tallow_nn::Gradients;

use super::Param;
use super::state::State;
use super::update::update;
use crate::{Rates, Result};

/// The kind of weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decay {
    /// It is added to the gradient (L2 regularisation).
    L2,
    /// It shrinks the weights in addition to the step (decoupled).
    Decoupled,
}

impl Decay {
    /// The decay of a `decoupled` key.
    pub fn decoupled(decoupled: bool) -> Self {
        if decoupled { Self::Decoupled } else { Self::L2 }
    }

    /// The factor of the weights that is added to the gradient, and the factor that the weights shrink by.
    pub fn factors(self, lr: f64, decay: f64) -> (f32, f32) {
        match self {
            Self::Decoupled => (0.0, (1.0 - lr * decay) as f32),
            Self::L2 => (decay as f32, 1.0),
        }
    }
}

/// `mean ← mean + (1−β₁)·(g − mean)`, `square ← β₂·square + (1−β₂)·g²`.
#[derive(Debug, Clone, Copy)]
pub(super) struct MomentUpdate {
    keep2: f32,
    take1: f32,
    take2: f32,
}

impl MomentUpdate {
    pub fn new(beta1: f64, beta2: f64) -> Self {
        Self { keep2: beta2 as f32, take1: (1.0 - beta1) as f32, take2: (1.0 - beta2) as f32 }
    }

    /// Adds the gradient `g` of one value.
    #[inline(always)]
    pub fn add(self, g: f32, mean: &mut f32, square: &mut f32) {
        *mean += self.take1 * (g - *mean);
        *square = self.keep2 * *square + self.take2 * g * g;
    }
}

/// The parameters of an optimiser with the running mean and the running square of their gradients.
#[derive(Debug)]
pub(super) struct Moments {
    betas: (f64, f64),
    pub params: Vec<Param>,
    pub state: State<2>,
}

impl Moments {
    pub fn new(betas: (f64, f64), params: Vec<Param>) -> Self {
        let state = State::new(&params, [("exp_avg", true), ("exp_avg_sq", true)]);
        Self { betas, params, state }
    }

    /// Starts a step: the step's number, counted from 1, β₁ and β₂.
    pub fn begin(&mut self, rates: Rates) -> (u64, f64, f64) {
        self.state.steps += 1;
        (self.state.steps, rates.momentum.unwrap_or(self.betas.0), self.betas.1)
    }

    /// Updates the moments, and each parameter by `p ← shrink·p − step(g, mean, square)`. `step_at` returns the step for a
    /// learning rate.
    pub fn step<F: Fn(f32, f32, f32) -> f32 + Sync>(
        &mut self,
        grads: &Gradients,
        rates: Rates,
        decay_kind: Decay,
        moments: MomentUpdate,
        step_at: impl Fn(f64) -> F,
    ) -> Result<()> {
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let (l2, shrink) = decay_kind.factors(lr, decay);
            let step = step_at(lr);
            update(&param.var, grad, vectors, |p, g, [mean, square]| {
                for (((p, &g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
                    let g = g + l2 * *p;
                    moments.add(g, mean, square);
                    *p = *p * shrink - step(g, *mean, *square);
                }
            })?;
        }
        Ok(())
    }

    /// See [`Optimizer::state`](super::Optimizer::state).
    pub fn save(&self) -> Result<Vec<(String, Tensor)>> {
        self.state.save(&self.params)
    }

    /// See [`Optimizer::load_state`](super::Optimizer::load_state).
    pub fn load(&mut self, state: &std::collections::HashMap<String, Tensor>) -> Result<()> {
        self.state.load(&self.params, state)
    }
}
