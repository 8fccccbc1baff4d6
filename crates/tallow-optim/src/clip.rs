//! Gradient clipping: by the norm of all gradients together, by value, and by each weight's own norm.

use candle_core::{DType, Tensor};
use tallow_nn::{Gradients, ParamStore};

use crate::Result;
use crate::optimizer::update;

/// Scales all gradients down so that their common L2 norm is at most `max_norm`; returns the norm before.
///
/// # Errors
/// An error of Candle.
///
/// # Source
/// PyTorch's `clip_grad_norm_`: the factor is `max_norm / (norm + 1e-6)`, at most 1.
pub fn clip_grad_norm(grads: &mut Gradients, store: &ParamStore, max_norm: f64) -> Result<f64> {
    let mut sum = 0.0;
    for (_, var) in store.parameters() {
        if let Some(grad) = grads.get(var) {
            sum += sum_of_squares(grad)?;
        }
    }
    let norm = sum.sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        scale(grads, store, factor)?;
    }
    Ok(norm)
}

/// Clamps every value of every gradient to `−limit … limit`.
///
/// # Errors
/// An error of Candle.
///
/// # Source
/// PyTorch's `clip_grad_value_`.
pub fn clip_grad_value(grads: &mut Gradients, store: &ParamStore, limit: f64) -> Result<()> {
    let limit = limit as f32;
    for (_, var) in store.parameters() {
        if let Some(grad) = grads.remove(var) {
            let grad = grad.detach().contiguous()?.copy()?;
            update(&grad, var, &mut [], |grad, _, []| grad.iter_mut().for_each(|g| *g = g.clamp(-limit, limit)))?;
            grads.insert(var, grad);
        }
    }
    Ok(())
}

/// Adaptive gradient clipping: scales the gradient of each output's weights down to `factor` times the norm of these weights;
/// a vector is taken as a whole. For networks without normalisation layers.
///
/// # Errors
/// An error of Candle.
///
/// # Source
/// Brock et al. 2021 (NFNets); timm's `adaptive_clip_grad` (ε 1e-3).
pub fn clip_grad_adaptive(grads: &mut Gradients, store: &ParamStore, factor: f64) -> Result<()> {
    for (_, var) in store.parameters() {
        let Some(grad) = grads.remove(var) else {
            continue;
        };
        let mut g = grad.detach().flatten_all()?.to_vec1::<f32>()?;
        let p = var.flatten_all()?.to_vec1::<f32>()?;
        let units = if var.rank() > 1 { var.dim(0)? } else { 1 };
        let width = (g.len() / units.max(1)).max(1);
        let norm = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        for (g, p) in g.chunks_mut(width).zip(p.chunks(width)) {
            let (limit, found) = (factor * norm(p).max(1e-3), norm(g));
            if found >= limit {
                let scale = (limit / found.max(1e-6)) as f32;
                g.iter_mut().for_each(|g| *g *= scale);
            }
        }
        grads.insert(var, Tensor::from_vec(g, var.dims(), var.device())?);
    }
    Ok(())
}

/// The kinds of clipping that a run applies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Clipping {
    /// The largest absolute value of a gradient: [`clip_grad_value`].
    pub value: Option<f64>,
    /// The largest norm of a gradient in units of its weights' norm: [`clip_grad_adaptive`].
    pub adaptive: Option<f64>,
    /// The largest L2 norm of all gradients together: [`clip_grad_norm`].
    pub norm: Option<f64>,
}

impl Clipping {
    /// Clips by value, by the norms of the weights and by the norm of all gradients, in this order.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn apply(&self, grads: &mut Gradients, store: &ParamStore) -> Result<()> {
        if let Some(limit) = self.value {
            clip_grad_value(grads, store, limit)?;
        }
        if let Some(factor) = self.adaptive {
            clip_grad_adaptive(grads, store, factor)?;
        }
        if let Some(max_norm) = self.norm {
            clip_grad_norm(grads, store, max_norm)?;
        }
        Ok(())
    }
}

/// Multiplies every gradient by `factor`.
///
/// # Errors
/// An error of Candle.
pub fn scale(grads: &mut Gradients, store: &ParamStore, factor: f64) -> Result<()> {
    for (_, var) in store.parameters() {
        if let Some(grad) = grads.remove(var) {
            grads.insert(var, (grad.contiguous()? * factor)?);
        }
    }
    Ok(())
}

/// In double precision and in order, so that it does not depend on the number of threads.
fn sum_of_squares(grad: &Tensor) -> Result<f64> {
    let values = grad.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().map(|&g| f64::from(g) * f64::from(g)).sum())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tallow_nn::{Init, Tape};

    use super::*;
    use crate::optimizer::recorded::{gradients, gradients_close, more, parameters};

    #[test]
    fn clipping_by_value_and_by_weights_equals_pytorchs_and_timms() -> Result<()> {
        let recorded = more();
        let store = parameters(&recorded)?;
        let (value, agc) = (&recorded.clip.value, &recorded.clip.agc);
        let mut grads = gradients(&store, 3)?;
        clip_grad_value(&mut grads, &store, value.limit)?;
        gradients_close(&grads, &store, &value.gradients, "value")?;
        let mut grads = gradients(&store, 3)?;
        clip_grad_adaptive(&mut grads, &store, agc.limit)?;
        gradients_close(&grads, &store, &agc.gradients, "agc")
    }

    #[test]
    fn the_norm_of_all_gradients_is_clipped_and_a_small_one_left_alone() -> Result<()> {
        let (w, store) = ParamStore::build(0, &Device::Cpu, |b| b.param("w", &[2], Init::ONES))?;
        let tape = Tape::start();
        let loss = (&w * Tensor::new(&[3f32, 4.0], &Device::Cpu)?)?.sum_all()?;
        let mut grads = tape.backward(&loss)?;
        assert_eq!(clip_grad_norm(&mut grads, &store, 10.0)?, 5.0);
        assert_eq!(grads.get(&w).map(Tensor::to_vec1::<f32>).transpose()?, Some(vec![3.0, 4.0]));
        assert_eq!(clip_grad_norm(&mut grads, &store, 1.0)?, 5.0);
        let clipped = grads.get(&w).map(Tensor::to_vec1::<f32>).transpose()?.unwrap_or_default();
        assert!((clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] - 0.8).abs() < 1e-6, "{clipped:?}");
        Ok(())
    }
}
