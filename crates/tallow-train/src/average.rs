//! The average of a run's weights, where it keeps one: exponential over steps, or equal over the last epochs.

use tallow_nn::ParamStore;

use crate::Result;
use crate::config::TrainConfig;
use crate::ema::Ema;

/// What is averaged, and from when on.
#[derive(Debug)]
pub struct Average {
    ema: Option<Ema>,
    /// The epoch whose weights are the first of an equal average; none for an exponential one.
    first_epoch: Option<u64>,
}

impl Average {
    /// What `options` ask for: `ema_decay`, `swa_epochs`, or nothing.
    ///
    /// # Errors
    /// Whatever Candle fails with.
    pub fn new(options: &TrainConfig, store: &ParamStore) -> Result<Self> {
        let swa = options.swa_epochs > 0;
        let first_epoch = swa.then(|| options.epochs.saturating_sub(options.swa_epochs));
        let decay = options.ema_decay.or(swa.then_some(0.0));
        let ema = decay.map(|decay| Ema::new(decay, store)).transpose()?;
        Ok(Self { ema: ema.map(|ema| ema.with_warmup(options.ema_warmup)), first_epoch })
    }

    /// The average, if it has begun when `epochs` epochs are done: what is evaluated and saved.
    pub fn begun(&self, epochs: u64) -> Option<&Ema> {
        self.ema.as_ref().filter(|_| self.first_epoch.is_none_or(|first| epochs > first))
    }

    /// The same, to be restored.
    pub fn begun_mut(&mut self, epochs: u64) -> Option<&mut Ema> {
        let begun = self.first_epoch.is_none_or(|first| epochs > first);
        self.ema.as_mut().filter(|_| begun)
    }

    /// After an optimiser step, counted from 1.
    ///
    /// # Errors
    /// Whatever Candle fails with.
    pub fn after_step(&mut self, store: &ParamStore, step: u64) -> Result<()> {
        match &mut self.ema {
            Some(ema) if self.first_epoch.is_none() => ema.update(store, step),
            _ => Ok(()),
        }
    }

    /// After epoch `epoch`, counted from 0. `reestimate` makes the running statistics of the weights the model then holds.
    ///
    /// # Errors
    /// Those of `reestimate`.
    pub fn after_epoch(
        &mut self,
        epoch: u64,
        store: &ParamStore,
        reestimate: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        match (&mut self.ema, self.first_epoch) {
            (Some(ema), Some(first)) if epoch >= first => {
                ema.update_equally(store, epoch - first + 1)?;
                ema.refresh_buffers(store, reestimate)
            }
            _ => Ok(()),
        }
    }
}
