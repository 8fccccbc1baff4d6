//! Batch and image sizes that change between epochs.
//!
//! Both are functions of the epoch alone, so that they have no state in a checkpoint.

use tallow_augment::{Interpolation, Pipeline, SizeParam, ops};
use tallow_data::{Loader, LoaderConfig};
use tallow_infer::batch::images;
use tallow_nn::Mode;

use crate::{Error, Network, Result, RunConfig};

/// The training batches of every epoch.
pub(crate) struct Stages<'a> {
    config: &'a RunConfig,
    /// Batches of the first size, of images of the last.
    base: &'a Loader,
    /// The size of batches and images that `changed` makes.
    now: Stage,
    changed: Option<Loader>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    batch_size: usize,
    size: (usize, usize),
}

impl<'a> Stages<'a> {
    /// The stages of a run; `base` is the loader of its config.
    ///
    /// # Errors
    /// Images that the model does not take; batches that are larger than the dataset where incomplete ones are left out.
    pub fn new(config: &'a RunConfig, network: Network<'_>, base: &'a Loader) -> Result<Self> {
        let (height, width, channels) = base.pipeline().output_shape();
        let now = Stage { batch_size: base.config().batch_size, size: (height, width) };
        let stages = Self { config, base, now, changed: None };
        let last = stages.at(config.train.epochs.saturating_sub(1));
        if base.config().drop_last && last.batch_size > base.samples() {
            return Err(Error::Mismatch(format!(
                "train.batch_growth: batches come to {} of {} samples: set a max, or train.drop_last = false",
                last.batch_size,
                base.samples()
            )));
        }
        let mut sizes: Vec<(usize, usize)> = (0..config.train.epochs).map(|epoch| stages.at(epoch).size).collect();
        sizes.dedup();
        for (h, w) in sizes.into_iter().filter(|size| *size != (height, width)) {
            let image = images(vec![0.0; h * w * channels], (1, h, w, channels))?;
            network.model.forward(&image, &Mode::eval()).map_err(|error| {
                Error::Mismatch(format!("augment.progressive: {} takes no images of {h}×{w}: {error}", network.name))
            })?;
        }
        Ok(stages)
    }

    fn at(&self, epoch: u64) -> Stage {
        let (height, width, _) = self.base.pipeline().output_shape();
        let (train, first) = (&self.config.train, self.base.config().batch_size);
        let progressive = self.config.augment.progressive.as_ref();
        Stage {
            batch_size: train.batch_growth.as_ref().map_or(first, |growth| growth.batch_size(first, epoch)),
            size: progressive.map_or((height, width), |p| p.size((height, width), epoch, train.epochs)),
        }
    }

    /// Makes the loader of an epoch, if it is another one.
    ///
    /// # Errors
    /// No threads for a loader.
    pub fn enter(&mut self, epoch: u64) -> Result<()> {
        let (base, stage) = (self.base, self.at(epoch));
        let (height, width, _) = base.pipeline().output_shape();
        if stage == (Stage { batch_size: base.config().batch_size, size: (height, width) }) {
            (self.now, self.changed) = (stage, None);
        } else if stage != self.now {
            let pipeline = match stage.size == (height, width) {
                true => base.pipeline().clone(),
                false => std::sync::Arc::new(resized(base.pipeline(), stage.size)?),
            };
            let config = LoaderConfig { batch_size: stage.batch_size, ..base.config().clone() };
            (self.now, self.changed) = (stage, Some(base.with(pipeline, config)?));
        }
        Ok(())
    }

    /// The loader of the epoch entered last.
    pub fn loader(&self) -> &Loader {
        self.changed.as_ref().unwrap_or(self.base)
    }

    /// The place in the schedule after `done` optimiser steps of the epoch entered last. Schedules count steps as long as batches
    /// are at first: an epoch is as far by any batch size, be it growing or changed on resuming.
    pub fn schedule_step(&self, epoch: u64, done: u64) -> u64 {
        let steps = |loader: &Loader| (loader.batches() as u64).div_ceil(self.config.train.accumulate);
        let first = steps(self.base);
        epoch * first + done * first / steps(self.loader()).max(1)
    }
}

/// A pipeline whose images are scaled to another size behind its ops on 8-bit pixels.
fn resized(pipeline: &Pipeline, (height, width): (usize, usize)) -> Result<Pipeline> {
    let size = SizeParam::Exact([height, width]);
    Ok(pipeline.clone().with(Box::new(ops::Resize { size, interpolation: Interpolation::Bilinear, p: 1.0 }))?)
}
