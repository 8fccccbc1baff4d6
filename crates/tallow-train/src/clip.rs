//! Gradient clipping by the norm of all gradients together.

use candle_core::{DType, Tensor};
use tallow_nn::{Gradients, ParamStore};

use crate::Result;

/// Scales all gradients down so that their common L2 norm is at most `max_norm`; returns the norm before.
///
/// # Errors
/// Whatever Candle fails with.
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

/// Multiplies every gradient by `factor`.
pub(crate) fn scale(grads: &mut Gradients, store: &ParamStore, factor: f64) -> Result<()> {
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
