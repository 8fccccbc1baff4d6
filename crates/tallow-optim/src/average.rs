//! The average of a run's weights: exponential over steps (EMA), or equal over the last epochs (SWA).

use tallow_nn::ParamStore;

use crate::ema::Ema;
use crate::{Error, Result};

/// The average of a run's weights, if it keeps one.
#[derive(Debug, Default)]
pub struct WeightAverage {
    ema: Option<Ema>,
    /// The first epoch of an equal average; `None` for an exponential one.
    first_epoch: Option<u64>,
}

impl WeightAverage {
    /// No average.
    pub fn none() -> Self {
        Self::default()
    }

    /// An exponential moving average over steps, with or without a warm-up of the decay: see [`Ema`].
    ///
    /// # Errors
    /// An error of Candle.
    pub fn exponential(store: &ParamStore, decay: f64, warmup: bool) -> Result<Self> {
        Ok(Self { ema: Some(Ema::new(decay, store)?.with_warmup(warmup)), first_epoch: None })
    }

    /// An equal average of the weights at the end of each epoch from `first_epoch` on, counted from 0.
    ///
    /// # Errors
    /// An error of Candle.
    ///
    /// # Source
    /// Izmailov et al. 2018 (SWA).
    pub fn equal_from(store: &ParamStore, first_epoch: u64) -> Result<Self> {
        Ok(Self { ema: Some(Ema::new(0.0, store)?), first_epoch: Some(first_epoch) })
    }

    /// The average to evaluate and save after `epochs` epochs, if it has begun.
    pub fn begun(&self, epochs: u64) -> Option<&Ema> {
        self.ema.as_ref().filter(|_| self.first_epoch.is_none_or(|first| epochs > first))
    }

    /// The same, to restore its state.
    pub fn begun_mut(&mut self, epochs: u64) -> Option<&mut Ema> {
        let begun = self.first_epoch.is_none_or(|first| epochs > first);
        self.ema.as_mut().filter(|_| begun)
    }

    /// The average, by value, if it has begun after `epochs` epochs.
    pub fn into_begun(self, epochs: u64) -> Option<Ema> {
        self.ema.filter(|_| self.first_epoch.is_none_or(|first| epochs > first))
    }

    /// Updates an exponential average after an optimiser step, counted from 1.
    ///
    /// # Errors
    /// An error of Candle.
    pub fn after_step(&mut self, store: &ParamStore, step: u64) -> Result<()> {
        match &mut self.ema {
            Some(ema) if self.first_epoch.is_none() => ema.update(store, step),
            _ => Ok(()),
        }
    }

    /// Updates an equal average after epoch `epoch`, counted from 0. `reestimate` computes the running statistics of the
    /// averaged weights, which the model holds while it runs.
    ///
    /// # Errors
    /// The errors of `reestimate`.
    pub fn after_epoch<E: From<Error>>(
        &mut self,
        epoch: u64,
        store: &ParamStore,
        reestimate: impl FnOnce() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match (&mut self.ema, self.first_epoch) {
            (Some(ema), Some(first)) if epoch >= first => {
                ema.update_equally(store, epoch - first + 1)?;
                ema.refresh_buffers(store, reestimate)
            }
            _ => Ok(()),
        }
    }
}
