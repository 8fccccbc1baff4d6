//! Sharpness-aware minimisation: the gradient is taken at the perturbed weights with the highest loss nearby.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::{Gradients, ParamStore};

use super::update::update;
use crate::Result;

/// `optim.sam`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SamConfig {
    /// The radius: the L2 norm of the perturbation, above 0. The papers use 0.05, and 0.5 to 2 if adaptive.
    pub rho: f64,
    /// Whether the perturbation is scaled by each parameter (ASAM).
    pub adaptive: bool,
}

impl Default for SamConfig {
    fn default() -> Self {
        Self { rho: 0.05, adaptive: false }
    }
}

/// The perturbation of the weights by `ρ·g/‖g‖`, adaptive by `ρ·p²·g/‖p·g‖`, and its removal.
///
/// It has no state between steps: the loop perturbs the weights, computes a second gradient, restores the weights, and gives
/// that gradient to any optimiser.
///
/// # Source
/// Foret et al. 2021 (SAM), Kwon et al. 2021 (ASAM, without its η).
#[derive(Debug)]
pub struct Sam<'a> {
    store: &'a ParamStore,
    before: Vec<Tensor>,
    statistics: Vec<Tensor>,
}

impl<'a> Sam<'a> {
    /// Perturbs the weights along `grads`.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn climb(config: &SamConfig, store: &'a ParamStore, grads: &Gradients) -> Result<Self> {
        let adaptive = config.adaptive;
        let mut total = 0.0;
        for (_, var) in store.parameters() {
            if let Some(grad) = grads.get(var) {
                let g = grad.detach().flatten_all()?.to_vec1::<f32>()?;
                let p = if adaptive { var.flatten_all()?.to_vec1::<f32>()? } else { Vec::new() };
                let scaled = |(i, &g): (usize, &f32)| f64::from(g) * p.get(i).map_or(1.0, |p| f64::from(p.abs()));
                total += g.iter().enumerate().map(scaled).map(|x| x * x).sum::<f64>();
            }
        }
        let scale = (config.rho / (total.sqrt() + 1e-12)) as f32;
        let copy = |tensor: &Tensor| tensor.contiguous()?.copy();
        let before =
            store.parameters().map(|(_, var)| copy(&var.as_detached_tensor())).collect::<candle_core::Result<_>>()?;
        let statistics = store.buffers().map(|(_, buffer)| buffer.get()).collect();
        for (_, var) in store.parameters() {
            if let Some(grad) = grads.get(var) {
                update(var, grad, &mut [], |p, g, []| {
                    for (p, g) in p.iter_mut().zip(g) {
                        *p += if adaptive { *p * *p * g * scale } else { g * scale };
                    }
                })?;
            }
        }
        Ok(Self { store, before, statistics })
    }

    /// Restores the parameters, and the running statistics as they were before the second pass.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn descend(self) -> Result<()> {
        for ((_, var), before) in self.store.parameters().zip(&self.before) {
            update(var, before, &mut [], |p, before, []| p.copy_from_slice(before))?;
        }
        for ((_, buffer), value) in self.store.buffers().zip(self.statistics) {
            buffer.set(value);
        }
        Ok(())
    }
}
