//! Muon: orthogonalised momentum for matrices, AdamW for all other parameters.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::Gradients;
use tallow_nn::op::{linear, matmul_no_grad};

use super::adam::AdamStep;
use super::moments::Decay;
use super::state::State;
use super::update::{norm, update};
use super::{Optimizer, OptimizerOptions, Param};
use crate::validity::{Validity, betas, check, eps, factor, momentum};
use crate::{Rates, Result};

/// The coefficients of the iteration, which raise small singular values fastest.
const COEFFICIENTS: (f32, f32, f32) = (3.4445, -4.775, 2.0315);
/// The lower bound of the norm in a denominator.
const LOWEST_NORM: f64 = 1e-7;

/// `optim.name = "muon"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// The momentum, 0 to below 1.
    pub momentum: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// Newton-Schulz iterations, 1 to 99.
    pub ns_steps: usize,
    /// The adjustment of the learning rate to the shape of a matrix.
    pub adjust_lr: AdjustLr,
    /// The factor of AdamW's learning rate, for vectors, biases and the classifier; above 0.
    pub fallback_lr_scale: f64,
    /// The betas of AdamW.
    pub betas: (f64, f64),
    /// The eps of AdamW, above 0.
    pub eps: f64,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self {
            momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
            adjust_lr: AdjustLr::MatchRmsAdamw,
            fallback_lr_scale: 1.0,
            betas: (0.9, 0.999),
            eps: 1e-8,
        }
    }
}

/// The adjustment of Muon's learning rate to the shape of a matrix, `[rows, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdjustLr {
    /// `√max(1, rows / columns)`, with learning rates around 0.02.
    Original,
    /// `0.2·√max(rows, columns)`: steps as large as AdamW's, so that AdamW's learning rate suits it.
    MatchRmsAdamw,
}

impl OptimizerOptions for MuonConfig {
    fn lr(&self) -> f64 {
        1e-3
    }

    fn weight_decay(&self) -> f64 {
        0.1
    }

    fn validate(&self) -> Validity {
        momentum(self.momentum)
            .and(check((1..100).contains(&self.ns_steps), "ns_steps", "1 to 99"))
            .and(factor("fallback_lr_scale", self.fallback_lr_scale))
            .and(betas(self.betas))
            .and(eps(self.eps))
    }

    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer> {
        Box::new(Muon::new(self, params))
    }
}

/// `b ← μ·b + (1−μ)·g`, `p ← (1 − lr·λ)·p − lr'·O`, with `O` the momentum made orthogonal by Newton-Schulz iterations.
///
/// Convolution weights are matrices of `[out, in·h·w]`. AdamW updates vectors, biases and the classifier.
///
/// # Source
/// Jordan et al. 2024; PyTorch's `torch.optim.Muon` for matrices, timm's `Muon` (`conv_mode="flatten"`) for convolutions.
/// A difference: the iteration runs in the precision of the training (`train.precision`), the originals' in bfloat16.
#[derive(Debug)]
pub struct Muon {
    config: MuonConfig,
    params: Vec<Param>,
    state: State<1>,
    rest: AdamStep,
}

impl Muon {
    /// An optimiser of these parameters.
    pub fn new(config: &MuonConfig, params: Vec<Param>) -> Self {
        let is_matrix = |param: &Param| param.var.rank() >= 2 && !param.is_classifier;
        let (params, mut rest): (Vec<Param>, Vec<Param>) = params.into_iter().partition(is_matrix);
        rest.iter_mut().for_each(|param| param.lr_scale *= config.fallback_lr_scale);
        let state = State::new(&params, [("momentum_buffer", true)]);
        Self { rest: AdamStep::new(config.betas, config.eps, rest), config: config.clone(), params, state }
    }
}

impl Optimizer for Muon {
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()> {
        self.state.steps += 1;
        let momentum = rates.momentum.unwrap_or(self.config.momentum);
        let (take, keep) = ((1.0 - momentum) as f32, momentum as f32);
        for (param, vectors) in self.params.iter().zip(&mut self.state.vectors) {
            let Some(grad) = grads.get(&param.var) else {
                continue;
            };
            let (lr, decay) = param.rates(rates);
            let direction = grad.detach().contiguous()?.copy()?;
            let nesterov = self.config.nesterov;
            update(&direction, grad, vectors, |direction, g, [buffer]| {
                for ((direction, &g), buffer) in direction.iter_mut().zip(g).zip(buffer) {
                    *buffer += take * (g - *buffer);
                    *direction = if nesterov { g + keep * (*buffer - g) } else { *buffer };
                }
            })?;
            let rows = param.var.dim(0)?;
            let columns = param.var.elem_count() / rows.max(1);
            let matrix = direction.reshape((rows, columns))?;
            let orthogonal = orthogonalised(&matrix, self.config.ns_steps)?.reshape(param.var.dims())?;
            let (rows, columns) = (rows as f64, columns as f64);
            let adjusted = match self.config.adjust_lr {
                AdjustLr::Original => (rows / columns).max(1.0).sqrt(),
                AdjustLr::MatchRmsAdamw => 0.2 * rows.max(columns).sqrt(),
            };
            let (step_size, shrink) = ((lr * adjusted) as f32, (1.0 - lr * decay) as f32);
            update(&param.var, &orthogonal, &mut [], |p, direction, []| {
                for (p, direction) in p.iter_mut().zip(direction) {
                    *p = *p * shrink - step_size * direction;
                }
            })?;
        }
        // A schedule sets the momentum of Muon; AdamW keeps its β₁.
        self.rest.step(grads, Rates { momentum: None, ..rates }, Decay::Decoupled)
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = self.state.save(&self.params)?;
        state.extend(self.rest.moments.save()?.into_iter().filter(|(name, _)| name != "step"));
        Ok(state)
    }

    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.state.load(&self.params, state)?;
        self.rest.moments.load(state)
    }
}

/// An approximation of the orthogonal factor of a matrix: singular values between about 0.7 and 1.2.
fn orthogonalised(matrix: &Tensor, steps: usize) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let mut x = (if tall { matrix.t()?.contiguous()? } else { matrix.contiguous()? } / norm(matrix)?.max(LOWEST_NORM))?;
    let (a, b, c) = COEFFICIENTS;
    for _ in 0..steps {
        // x·xᵀ, which is symmetric: its square is its product with its transpose.
        let gram = linear(&x, &x, None)?;
        let polynomial = linear(&gram, &gram, None)?;
        update(&polynomial, &gram, &mut [], |square, gram, []| {
            square.iter_mut().zip(gram).for_each(|(square, gram)| *square = b * gram + c * *square);
        })?;
        let next = matmul_no_grad(&polynomial, &x)?;
        update(&next, &x, &mut [], |next, x, []| next.iter_mut().zip(x).for_each(|(next, x)| *next += a * x))?;
        x = next;
    }
    Ok(if tall { x.t()?.contiguous()? } else { x })
}
