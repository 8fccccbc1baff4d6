//! Penalties and constraints on weights: L1, orthogonality, a highest norm.

use candle_core::{Tensor, Var};
use tallow_nn::{Gradients, ParamStore};

use crate::Result;
use crate::optimizer::{is_norm_or_bias, update};

/// The penalties on the weights that are added to the loss, and the constraint on their norm.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalties {
    /// The factor λ of the L1 penalty `λ·Σ|p|`, 0 or more.
    pub l1: f64,
    /// Whether the L1 penalty leaves out normalisation parameters and biases.
    pub spare_norm_and_bias: bool,
    /// The factor λ of the orthogonality penalty `λ·‖W·Wᵀ − 1‖²`, 0 or more.
    pub orthogonal: f64,
    /// The highest L2 norm of the weights of an output; no limit if absent.
    pub max_norm: Option<f64>,
}

impl Penalties {
    /// Adds the gradients of the penalties to those of the loss.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn add(&self, grads: &mut Gradients, store: &ParamStore) -> Result<()> {
        if self.l1 > 0.0 {
            for (_, var) in
                store.parameters().filter(|(name, var)| !(self.spare_norm_and_bias && is_norm_or_bias(name, var)))
            {
                change(grads, var, |grad| add_l1(grad, var, self.l1 as f32))?;
            }
        }
        if self.orthogonal > 0.0 {
            for (_, var) in store.parameters().filter(|(_, var)| var.rank() > 1) {
                change(grads, var, |grad| add_orthogonal(grad, var, self.orthogonal))?;
            }
        }
        Ok(())
    }

    /// Scales down weights whose norm is above the limit, after the step by `grads`. Parameters without a gradient do not
    /// change.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn constrain(&self, store: &ParamStore, grads: &Gradients) -> Result<()> {
        let Some(limit) = self.max_norm else { return Ok(()) };
        let mut trained = store.parameters().filter(|(_, var)| grads.get(var).is_some());
        trained.try_for_each(|(_, var)| constrain_norm(var, limit))
    }
}

/// Replaces the gradient of a variable that has one.
fn change(grads: &mut Gradients, var: &Var, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
    if let Some(grad) = grads.remove(var) {
        grads.insert(var, f(&grad.detach())?);
    }
    Ok(())
}

/// `g + λ·sign(p)`, with the sign of 0 being 0.
fn add_l1(grad: &Tensor, var: &Var, strength: f32) -> Result<Tensor> {
    let grad = grad.contiguous()?.copy()?;
    update(&grad, var, &mut [], |grad, p, []| {
        for (grad, &p) in grad.iter_mut().zip(p) {
            *grad += if p == 0.0 { 0.0 } else { strength * p.signum() };
        }
    })?;
    Ok(grad)
}

/// The gradient of `λ·‖W·Wᵀ − 1‖²` is `4λ·(W·Wᵀ − 1)·W`; a tall matrix is taken by its columns.
///
/// # Source
/// Brock et al. 2017, Bansal et al. 2018 (soft orthogonality); a convolution's weight as `[out, in·h·w]`.
fn add_orthogonal(grad: &Tensor, var: &Var, strength: f64) -> Result<Tensor> {
    let rows = var.dim(0)?;
    let columns = var.elem_count() / rows.max(1);
    let w = var.as_detached_tensor().reshape((rows, columns))?;
    let transposed = w.t()?.contiguous()?;
    let slope = if rows <= columns {
        (w.matmul(&transposed)? - unit(rows, &w)?)?.matmul(&w)?
    } else {
        w.matmul(&(transposed.matmul(&w)? - unit(columns, &w)?)?)?
    };
    Ok((grad.contiguous()? + (slope.reshape(var.dims())? * (4.0 * strength))?)?)
}

fn unit(n: usize, like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::eye(n, like.dtype(), like.device())?)
}

/// Scales each output's weights (a row of `[out, …]`) down to the norm `limit`; vectors stay as they are.
///
/// # Source
/// Srivastava et al. 2014; PyTorch's `renorm(w, 2, 0, limit)`.
fn constrain_norm(var: &Var, limit: f64) -> Result<()> {
    if var.rank() < 2 {
        return Ok(());
    }
    let width = var.elem_count() / var.dim(0)?.max(1);
    let mut values = var.flatten_all()?.to_vec1::<f32>()?;
    let mut changed = false;
    for row in values.chunks_mut(width.max(1)) {
        let norm = row.iter().map(|&p| f64::from(p) * f64::from(p)).sum::<f64>().sqrt();
        if norm > limit {
            let factor = (limit / (norm + 1e-7)) as f32;
            row.iter_mut().for_each(|p| *p *= factor);
            changed = true;
        }
    }
    if changed {
        let values = Tensor::from_vec(values, var.dims(), var.device())?;
        update(var, &values, &mut [], |p, new, []| p.copy_from_slice(new))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::recorded::{Penalty, gradients, gradients_close, more, parameters};

    #[test]
    fn gradients_equal_autograds_and_norms_torchs_renorm() -> Result<()> {
        let recorded = more();
        let none = Penalties { l1: 0.0, spare_norm_and_bias: true, orthogonal: 0.0, max_norm: None };
        let check = |penalties: Penalties, expected: &Penalty, what: &str| -> Result<()> {
            let store = parameters(&recorded)?;
            let mut grads = Gradients::default();
            for (_, var) in store.parameters() {
                grads.insert(var, var.zeros_like()?);
            }
            penalties.add(&mut grads, &store)?;
            gradients_close(&grads, &store, &expected.gradients, what)
        };
        let penalties = &recorded.penalties;
        check(Penalties { l1: penalties.l1.strength, ..none }, &penalties.l1, "l1")?;
        check(Penalties { orthogonal: penalties.orthogonal.strength, ..none }, &penalties.orthogonal, "orthogonal")?;

        let store = parameters(&recorded)?;
        Penalties { max_norm: Some(penalties.max_norm.limit), ..none }.constrain(&store, &gradients(&store, 1)?)?;
        for ((name, var), expected) in store.parameters().zip(&penalties.max_norm.values) {
            for (found, expected) in var.flatten_all()?.to_vec1::<f32>()?.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{name}: {found} for {expected}");
            }
        }
        Ok(())
    }
}
