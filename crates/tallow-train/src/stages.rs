//! What changes between epochs: the batch size and the image size.
//!
//! Both are functions of the epoch alone, so that they have no state in a checkpoint.

use serde::{Deserialize, Serialize};
use tallow_augment::{Interpolation, Pipeline, SizeParam, ops};
use tallow_data::{Loader, LoaderConfig};
use tallow_infer::batch::images;
use tallow_nn::Mode;
use tallow_optim::InvalidValue;
use tallow_run::ProgressiveConfig;

use crate::{Error, Network, Result, RunConfig};

/// The `[train.batch_growth]` section: batches of `train.batch_size · factor^⌊epoch / every_epochs⌋` samples, epochs counted
/// from 0.
///
/// # Source
/// Smith et al. 2018, "Don't Decay the Learning Rate, Increase the Batch Size".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BatchGrowthConfig {
    /// The factor by which batches grow, above 1.
    pub factor: f64,
    /// The epochs between two growths, 1 or more.
    pub every_epochs: u64,
    /// The largest batch size; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
}

impl Default for BatchGrowthConfig {
    fn default() -> Self {
        Self { factor: 2.0, every_epochs: 1, max: None }
    }
}

impl BatchGrowthConfig {
    /// The first key whose value is out of range, and what is expected of it.
    pub(crate) fn first_invalid(&self) -> Option<InvalidValue> {
        let checks = [
            (self.factor > 1.0 && self.factor.is_finite(), "factor", "a factor above 1"),
            (self.every_epochs > 0, "every_epochs", "1 or more"),
            (self.max != Some(0), "max", "1 or more"),
        ];
        checks.into_iter().find(|(valid, _, _)| !valid).map(|(_, key, expected)| InvalidValue { key, expected })
    }

    /// The samples of a batch in an epoch, counted from 0, where the first epoch has `first`.
    pub fn batch_size(&self, first: usize, epoch: u64) -> usize {
        let times = i32::try_from(epoch / self.every_epochs.max(1)).unwrap_or(i32::MAX);
        // A cast of what is larger than any usize gives the largest.
        let size = (first as f64 * self.factor.powi(times)).round() as usize;
        size.min(self.max.unwrap_or(usize::MAX).max(first))
    }
}

/// The first key of `augment.progressive` whose value is out of range, and what is expected of it.
pub(crate) fn progressive_invalid(config: &ProgressiveConfig) -> Option<InvalidValue> {
    let checks =
        [(config.start > 0, "start", "a side of 1 pixel or more"), (config.stages > 1, "stages", "2 sizes or more")];
    checks.into_iter().find(|(valid, _, _)| !valid).map(|(_, key, expected)| InvalidValue { key, expected })
}

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

    /// The place in the schedule of the optimiser step that comes after `batch` batches of an epoch of `batches`, and is
    /// `step` in the run. Schedules count steps as long as batches are at first, so that an epoch is as far by any size.
    pub fn schedule_step(&self, epoch: u64, (batch, batches): (u64, u64), step: u64) -> u64 {
        if self.config.train.batch_growth.is_none() {
            return step;
        }
        let accumulate = self.config.train.accumulate;
        let first = (self.base.batches() as u64).div_ceil(accumulate);
        epoch * first + batch / accumulate * first / batches.div_ceil(accumulate).max(1)
    }
}

/// A pipeline whose images are scaled to another size behind its ops on 8-bit pixels.
fn resized(pipeline: &Pipeline, (height, width): (usize, usize)) -> Result<Pipeline> {
    let size = SizeParam::Exact([height, width]);
    Ok(pipeline.clone().with(Box::new(ops::Resize { size, interpolation: Interpolation::Bilinear, p: 1.0 }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_by_the_factor_up_to_the_limit() {
        let growth = BatchGrowthConfig { factor: 1.5, every_epochs: 2, max: Some(250) };
        let sizes: Vec<usize> = (0..8).map(|epoch| growth.batch_size(100, epoch)).collect();
        assert_eq!(sizes, [100, 100, 150, 150, 225, 225, 250, 250]);
        // A limit below the first size leaves that as it is.
        let low = BatchGrowthConfig { max: Some(10), ..BatchGrowthConfig::default() };
        assert_eq!([low.batch_size(100, 0), low.batch_size(100, 9)], [100, 100]);
        assert_eq!(BatchGrowthConfig::default().batch_size(100, 10_000), usize::MAX);
    }
}
