//! Moving averages of the weights, which are evaluated and saved in place of the weights that train.

use std::collections::HashMap;

use candle_core::{DType, Tensor};
use tallow_nn::{Buffer, ParamStore};

use crate::optimizer::update;
use crate::{Error, Result};

/// The average of every parameter and buffer: `average ← decay·average + (1 − decay)·weight` after each step.
///
/// With a warm-up the decay of the `t`-th update is `min(decay, 1 − t^(−2/3))`, from 0 up: the average first follows the
/// weights closely.
///
/// # Source
/// timm's `ModelEmaV2`: no bias correction, buffers averaged as parameters are; the warm-up is `ModelEmaV3`'s
/// (`use_warmup`, γ 1, power 2/3).
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    warmup: bool,
    average: Vec<(String, Tensor)>,
}

impl Ema {
    /// An average that starts at the model's present weights; `decay` from 0 to below 1, 0.999 say.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn new(decay: f64, store: &ParamStore) -> Result<Self> {
        Ok(Self { decay, warmup: false, average: snapshot(store)? })
    }

    /// Sets whether the decay warms up.
    pub fn with_warmup(self, warmup: bool) -> Self {
        Self { warmup, ..self }
    }

    /// Adds the model's weights after step `step`, counted from 1.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn update(&mut self, store: &ParamStore, step: u64) -> Result<()> {
        let decay = match self.warmup {
            true => self.decay.min(1.0 - (step.max(1) as f64).powf(-2.0 / 3.0)),
            false => self.decay,
        };
        self.mix(store, decay)
    }

    /// Adds the model's weights as the `count`-th of an equal average, counted from 1: stochastic weight averaging.
    ///
    /// # Errors
    /// An error of Candle.
    ///
    /// # Source
    /// Izmailov et al. 2018; PyTorch's `AveragedModel`.
    pub fn update_equally(&mut self, store: &ParamStore, count: u64) -> Result<()> {
        self.mix(store, 1.0 - 1.0 / count.max(1) as f64)
    }

    /// Runs `f` while the model holds the averaged weights, stores the buffers that `f` leaves in the average, and restores
    /// the model's own weights.
    ///
    /// # Errors
    /// The errors of `f`.
    pub fn refresh_buffers<E: From<Error>>(
        &mut self,
        store: &ParamStore,
        f: impl FnOnce() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let copy = |(name, buffer): (&str, &Buffer)| Ok((name.to_owned(), buffer.get().contiguous()?.copy()?));
        let refreshed = self.with_average(store, || {
            f()?;
            Ok::<_, E>(store.buffers().map(copy).collect::<Result<Vec<_>>>()?)
        })?;
        let refreshed: HashMap<String, Tensor> = refreshed.into_iter().collect();
        for (name, average) in &mut self.average {
            if let Some(buffer) = refreshed.get(name) {
                *average = buffer.clone();
            }
        }
        Ok(())
    }

    fn mix(&mut self, store: &ParamStore, decay: f64) -> Result<()> {
        let (keep, take) = (decay as f32, (1.0 - decay) as f32);
        for ((_, average), (_, weight)) in self.average.iter().zip(store.state_dict()) {
            update(average, &weight.to_dtype(DType::F32)?, &mut [], |average, weight, []| {
                for (average, &weight) in average.iter_mut().zip(weight) {
                    // Frozen weights must not change by a bit, and keep + take is not exactly 1.
                    if *average != weight {
                        *average = keep * *average + take * weight;
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Runs `f` while the model holds the averaged weights, and restores its own weights afterwards, also if `f` fails.
    ///
    /// # Errors
    /// The errors of `f`.
    pub fn with_average<T, E: From<Error>>(
        &self,
        store: &ParamStore,
        f: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let own = snapshot(store)?;
        restore(store, &self.average)?;
        let result = f();
        restore(store, &own)?;
        result
    }

    /// Gives the model the averaged weights.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn copy_to(&self, store: &ParamStore) -> Result<()> {
        restore(store, &self.average)
    }

    /// The averages by state-dict name.
    pub fn state(&self) -> &[(String, Tensor)] {
        &self.average
    }

    /// Restores the averages that [`state`](Self::state) returned.
    ///
    /// # Errors
    /// A missing name, or another shape.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        for (name, average) in &mut self.average {
            *average = match state.get(name) {
                Some(tensor) if tensor.dims() == average.dims() => tensor.to_dtype(DType::F32)?.contiguous()?.copy()?,
                found => return Err(Error::state(format!("ema.{name}"), average.dims(), found)),
            };
        }
        Ok(())
    }
}

/// A copy of every parameter and buffer, in the model's order.
fn snapshot(store: &ParamStore) -> Result<Vec<(String, Tensor)>> {
    let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.contiguous()?.copy()?));
    store.state_dict().into_iter().map(copy).collect()
}

fn restore(store: &ParamStore, weights: &[(String, Tensor)]) -> Result<()> {
    weights.iter().try_for_each(|(name, tensor)| Ok(store.set(name, tensor)?))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde::Deserialize;
    use tallow_nn::Init;

    use super::*;

    #[derive(Deserialize)]
    struct Recorded {
        decay: f64,
        weight: Vec<f32>,
        running_mean: Vec<f32>,
    }

    fn wave(phase: f64) -> Result<Tensor> {
        let values: Vec<f32> = (0..6).map(|i| (0.9 * f64::from(i) + phase).sin() as f32).collect();
        Ok(Tensor::new(values, &Device::Cpu)?)
    }

    #[test]
    fn a_warmed_up_average_equals_timms() -> Result<()> {
        let recorded = crate::optimizer::recorded::more().ema_warmup;
        let (_, store) = ParamStore::build(0, &Device::Cpu, |b| b.param("weight", &[6], Init::ZEROS))?;
        store.set("weight", &wave(0.0)?)?;
        let mut ema = Ema::new(recorded.decay, &store)?.with_warmup(true);
        for t in 1..=10 {
            store.set("weight", &wave(0.3 * f64::from(t))?)?;
            ema.update(&store, t as u64)?;
        }
        for (found, expected) in ema.state()[0].1.to_vec1::<f32>()?.iter().zip(&recorded.weight) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
        Ok(())
    }

    #[test]
    fn the_average_equals_timms_and_the_model_keeps_its_own_weights() -> Result<()> {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../../../fixtures/train/ema.json")).expect("the fixture");
        let (_, store) = ParamStore::build(0, &Device::Cpu, |b| {
            b.param("weight", &[6], Init::ZEROS)?;
            b.buffer("running_mean", &[6], 0.0)
        })?;
        store.set("weight", &wave(0.0)?)?;
        store.set("running_mean", &wave(2.0)?)?;
        let mut ema = Ema::new(recorded.decay, &store)?;
        for t in 1..=10 {
            store.set("weight", &wave(0.3 * f64::from(t))?)?;
            store.set("running_mean", &wave(2.0 + 0.1 * f64::from(t))?)?;
            ema.update(&store, t as u64)?;
        }
        let read = |store: &ParamStore| -> Result<Vec<Vec<f32>>> {
            store.state_dict().iter().map(|(_, tensor)| Ok(tensor.to_vec1()?)).collect()
        };
        let averaged = ema.with_average(&store, || read(&store))?;
        for (found, expected) in averaged.iter().zip([&recorded.weight, &recorded.running_mean]) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
            }
        }
        assert_eq!(read(&store)?[0], wave(3.0)?.to_vec1::<f32>()?);
        Ok(())
    }
}
