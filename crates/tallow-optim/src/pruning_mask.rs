//! Weights that stay zero: filters that pruning removed.

use candle_core::{Tensor, Var};
use tallow_nn::ParamStore;

use crate::Result;
use crate::optimizer::update;

/// The zeros of a model's parameters, as a mask of each parameter that has some.
#[derive(Debug, Default)]
pub struct PruningMask(Vec<(Var, Tensor)>);

impl PruningMask {
    /// The zeros that a model has now. A parameter that is zero as a whole is left out: it was initialised so, and is
    /// trained.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn of(store: &ParamStore) -> Result<Self> {
        let mut zeros = Vec::new();
        for (_, var) in store.parameters() {
            let values = var.flatten_all()?.to_vec1::<f32>()?;
            let count = values.iter().filter(|value| **value == 0.0).count();
            if count > 0 && count < values.len() {
                let mask = values.iter().map(|value| f32::from(*value != 0.0)).collect();
                zeros.push((var.clone(), Tensor::from_vec(mask, var.dims(), var.device())?));
            }
        }
        Ok(Self(zeros))
    }

    /// Sets the masked values to zero again.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn apply(&self) -> Result<()> {
        self.0.iter().try_for_each(|(var, mask)| {
            update(var, mask, &mut [], |values, mask, []| {
                values.iter_mut().zip(mask).for_each(|(value, mask)| *value *= mask);
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use tallow_nn::{Init, ParamStore};

    use super::*;

    #[test]
    fn what_was_zero_is_zero_again() -> Result<()> {
        let (_, store) = ParamStore::build(0, &Device::Cpu, |b| -> tallow_nn::Result<()> {
            b.param("pruned", &[4], Init::ONES)?;
            b.param("fresh", &[2], Init::ZEROS)?;
            Ok(())
        })?;
        store.set("pruned", &Tensor::new(&[1f32, 0.0, 3.0, 0.0], &Device::Cpu)?)?;
        let mask = PruningMask::of(&store)?;
        store.set("pruned", &Tensor::new(&[2f32, 5.0, -1.0, 0.5], &Device::Cpu)?)?;
        store.set("fresh", &Tensor::new(&[0.25f32, -1.0], &Device::Cpu)?)?;
        mask.apply()?;
        let values: Vec<Vec<f32>> =
            store.parameters().map(|(_, var)| var.to_vec1()).collect::<candle_core::Result<_>>()?;
        assert_eq!(values, [vec![2.0, 0.0, -1.0, 0.0], vec![0.25, -1.0]]);
        Ok(())
    }
}
