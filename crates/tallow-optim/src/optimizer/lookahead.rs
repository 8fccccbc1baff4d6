//! Lookahead: every few steps, slow weights move towards the optimiser's weights, which are then reset to them.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;

use super::update::update;
use super::{Optimizer, Param};
use crate::{Error, Rates, Result};

const SLOW: &str = "lookahead_slow_buff";
const STEP: &str = "lookahead_step";

/// `optim.lookahead`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LookaheadConfig {
    /// The step of the slow weights towards the fast ones, 0 to 1.
    pub alpha: f64,
    /// Optimiser steps between two steps of the slow weights, 1 or more.
    pub k: u64,
}

impl Default for LookaheadConfig {
    fn default() -> Self {
        Self { alpha: 0.5, k: 6 }
    }
}

/// Every `k` steps: `slow ← slow + α·(fast − slow)`, `fast ← slow`.
///
/// # Source
/// Zhang et al. 2019; timm's `Lookahead`, whose slow weights start at the `k`-th step and not before the first.
pub struct Lookahead {
    config: LookaheadConfig,
    inner: Box<dyn Optimizer>,
    params: Vec<Param>,
    steps: u64,
    /// Empty until the `k`-th step.
    slow: Vec<Tensor>,
}

impl Lookahead {
    /// Around an optimiser of `params`.
    pub fn new(config: &LookaheadConfig, inner: Box<dyn Optimizer>, params: Vec<Param>) -> Self {
        Self { config: config.clone(), inner, params, steps: 0, slow: Vec::new() }
    }
}

impl Optimizer for Lookahead {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.inner.step(grads, rates)?;
        self.steps += 1;
        if !self.steps.is_multiple_of(self.config.k) {
            return Ok(());
        }
        let fast = self.params.iter().map(|param| param.var.as_detached_tensor());
        if self.slow.is_empty() {
            self.slow = fast.map(|fast| Ok(fast.contiguous()?.copy()?)).collect::<Result<_>>()?;
            return Ok(());
        }
        let alpha = self.config.alpha as f32;
        for (slow, param) in self.slow.iter().zip(&self.params) {
            update(slow, &param.var, &mut [], |slow, fast, []| {
                for (slow, fast) in slow.iter_mut().zip(fast) {
                    *slow += alpha * (fast - *slow);
                }
            })?;
            update(&param.var, slow, &mut [], |fast, slow, []| fast.copy_from_slice(slow))?;
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = self.inner.state()?;
        state.push((STEP.to_owned(), Tensor::new(self.steps as i64, &Device::Cpu)?));
        for (slow, param) in self.slow.iter().zip(&self.params) {
            state.push((format!("{SLOW}.{}", param.name), slow.copy()?));
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let steps = state.get(STEP).ok_or_else(|| Error::state(STEP, &[], None))?;
        let steps = steps.to_dtype(DType::I64)?.to_scalar::<i64>()?.max(0) as u64;
        let mut slow = Vec::new();
        if steps >= self.config.k {
            for param in &self.params {
                let name = format!("{SLOW}.{}", param.name);
                match state.get(&name) {
                    Some(saved) if saved.dims() == param.var.dims() => {
                        slow.push(saved.to_dtype(DType::F32)?.contiguous()?.copy()?);
                    }
                    found => return Err(Error::state(name, param.var.dims(), found)),
                }
            }
        }
        self.inner.load_state(state)?;
        (self.steps, self.slow) = (steps, slow);
        Ok(())
    }
}
