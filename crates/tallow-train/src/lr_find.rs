//! Finds a learning rate: a short training in which the learning rate climbs from far too low to far too high.

use tallow_data::Loader;
use tallow_nn::Mode;
use tallow_optim::{Loss, Optimizer, Rates};

use crate::step::TrainStep;
use crate::transfer::{Frozen, drop_frozen};
use crate::{Error, Network, Result, RunConfig};

/// The decay per step of the running loss that ends a sweep.
const DECAY: f64 = 0.9;
/// The sweep ends where the running loss is above this many times its lowest.
const EXPLODED: f64 = 4.0;
/// The standard deviation of the smoothed curve's window, in powers of ten of the learning rate.
const WINDOW: f64 = 0.15;
/// The suggestion is the learning rate of the lowest smoothed loss divided by this.
const BELOW_LOWEST: f64 = 2.0;
/// The least fall of the smoothed loss in a model that learns, as a fraction of its initial value.
const LEAST_FALL: f64 = 0.02;

/// A sweep's range.
#[derive(Debug, Clone, PartialEq)]
pub struct LrRange {
    /// The first learning rate, above 0.
    pub start: f64,
    /// The last one, above the first.
    pub end: f64,
    /// Steps between them, 2 or more.
    pub steps: usize,
}

impl Default for LrRange {
    fn default() -> Self {
        Self { start: 1e-6, end: 10.0, steps: 100 }
    }
}

/// A step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrPoint {
    /// Its learning rate.
    pub lr: f64,
    /// The batch's loss before the step.
    pub loss: f64,
    /// The mean of the losses at similar learning rates, weighted by a Gaussian window. Unlike a running mean it does not
    /// lag behind.
    pub smoothed: f64,
}

/// The result of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct LrSweep {
    /// One point per step.
    pub points: Vec<LrPoint>,
    /// Whether the loss exploded before the end of the range.
    pub exploded: bool,
}

/// Trains with learning rates that climb exponentially from batch to batch, over several epochs if need be, until the end of the
/// range or until the loss explodes. Frozen parameters stay frozen. Model and optimiser are of no use afterwards.
///
/// # Errors
/// An empty range; images that cannot be read; an error of the model or the loss.
///
/// # Source
/// Smith 2017 (the range test); fastai's `lr_find`, whose stop is used.
pub fn lr_find(
    range: &LrRange,
    network: Network<'_>,
    loss: &dyn Loss,
    optimizer: &mut dyn Optimizer,
    loader: &Loader,
    config: &RunConfig,
) -> Result<LrSweep> {
    let LrRange { start, end, steps } = *range;
    if !(start > 0.0 && end > start && end.is_finite() && steps >= 2) {
        return Err(Error::Mismatch(format!(
            "a sweep from {start} to {end} in {steps} steps: give a start above 0, a higher end, and 2 steps or more"
        )));
    }
    let frozen = Frozen::new(&config.transfer, network)?;
    let frozen = frozen.start_epoch(network.store, 0);
    let train_step = TrainStep {
        model: network.model,
        loss,
        teacher: None,
        frozen,
        r_drop: None,
        precision: config.train.precision,
        features: None,
    };
    let mut losses = Vec::with_capacity(steps);
    let (mut running, mut lowest) = (0.0, f64::INFINITY);
    for epoch in 0.. {
        loss.start_epoch(epoch);
        for batch in loader.epoch(epoch, 0) {
            let step = losses.len();
            if step == steps {
                return Ok(LrSweep::new(&losses, false));
            }
            let mut batch = batch?;
            let input = train_step.input(&mut batch)?;
            let (value, _, mut grads) =
                train_step.run(&input, &batch, None, &Mode::train(config.train.seed, step as u64))?;
            if !value.is_finite() {
                return Ok(LrSweep::new(&losses, true));
            }
            let lr = start * (end / start).powf(step as f64 / (steps - 1) as f64);
            let loss = f64::from(value);
            losses.push((lr, loss));
            running = DECAY * running + (1.0 - DECAY) * loss;
            let mean = running / (1.0 - DECAY.powf(step as f64 + 1.0));
            lowest = mean.min(lowest);
            if mean > EXPLODED * lowest {
                return Ok(LrSweep::new(&losses, true));
            }
            drop_frozen(&mut grads, frozen);
            optimizer.step(&grads, Rates::new(lr))?;
        }
    }
    Ok(LrSweep::new(&losses, false))
}

/// A learning rate suggested by a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrSuggestion {
    /// The suggested learning rate, the highest of a schedule.
    pub lr: f64,
    /// The learning rate at which the smoothed loss is lowest.
    pub lowest: f64,
    /// Whether the loss still falls at the end of the range: then a wider range may suggest a higher rate.
    pub still_falling: bool,
}

impl LrSweep {
    /// A sweep with these learning rates and losses, in the order of the steps.
    pub fn new(losses: &[(f64, f64)], exploded: bool) -> Self {
        let smoothed = |lr: f64| {
            let weight = |other: f64| (-0.5 * ((other / lr).log10() / WINDOW).powi(2)).exp();
            let sums = losses.iter().fold((0.0, 0.0), |(sum, weights), &(other, loss)| {
                (sum + weight(other) * loss, weights + weight(other))
            });
            sums.0 / sums.1
        };
        let points = losses.iter().map(|&(lr, loss)| LrPoint { lr, loss, smoothed: smoothed(lr) }).collect();
        Self { points, exploded }
    }

    /// The first tenth of the points, in which nothing is learnt yet, and the others.
    fn parts(&self) -> (&[LrPoint], &[LrPoint]) {
        self.points.split_at(self.points.len().div_ceil(10))
    }

    /// The smoothed loss before anything is learnt: the mean over the first tenth of the points.
    pub fn initial(&self) -> Option<f64> {
        let (first, _) = self.parts();
        (!first.is_empty()).then(|| first.iter().map(|point| point.smoothed).sum::<f64>() / first.len() as f64)
    }

    /// The suggested learning rate: half of the one at which the smoothed loss is lowest, which keeps a distance from the
    /// rates at which it rises again. `None` if the loss does not fall by 2 % of its initial value.
    ///
    /// docs/train.md compares the suggestion with a grid of learning rates.
    pub fn suggestion(&self) -> Option<LrSuggestion> {
        let (_, points) = self.parts();
        let lowest = points.iter().min_by(|a, b| a.smoothed.total_cmp(&b.smoothed))?;
        if lowest.smoothed > (1.0 - LEAST_FALL) * self.initial()? {
            return None;
        }
        let still_falling =
            !self.exploded && points.last().is_some_and(|last| last.lr < lowest.lr * 10f64.powf(WINDOW));
        Some(LrSuggestion { lr: lowest.lr / BELOW_LOWEST, lowest: lowest.lr, still_falling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sweep of a loss as a function of the learning rate's logarithm.
    fn sweep(loss: impl Fn(f64) -> f64) -> LrSweep {
        let losses: Vec<(f64, f64)> =
            (0..100).map(|i| f64::from(i) * 0.07 - 6.0).map(|x| (10f64.powf(x), loss(x))).collect();
        LrSweep::new(&losses, true)
    }

    /// Flat, down between 1e-4 and 1e-2, up again; with noise from batch to batch.
    fn valley(x: f64) -> f64 {
        let noise = 0.05 * (37.0 * x).sin();
        noise
            + match x {
                x if x < -4.0 => 2.3,
                x if x < -2.0 => 2.3 - 0.5 * (1.0 - (std::f64::consts::PI * (x + 4.0) / 2.0).cos()),
                x => 1.3 + 2.0 * (x + 2.0),
            }
    }

    #[test]
    fn the_suggestion_is_half_the_rate_of_the_lowest_loss() {
        let found = sweep(valley).suggestion().expect("a fall");
        assert!((-2.25..-1.9).contains(&found.lowest.log10()), "{found:?}");
        assert_eq!((2.0 * found.lr, found.still_falling), (found.lowest, false));
    }

    #[test]
    fn smoothing_does_not_shift_a_fall() {
        let sweep = sweep(|x| if x < -3.0 { 2.0 } else { 1.0 });
        let middle = sweep.points.iter().find(|point| point.smoothed < 1.5).expect("a fall");
        assert!((middle.lr.log10() + 3.0).abs() < 0.1, "{middle:?}");
        assert!((sweep.initial().expect("points") - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_loss_that_does_not_fall_suggests_nothing() {
        assert_eq!(sweep(|x| 2.3 + 0.02 * (37.0 * x).sin()).suggestion(), None);
        assert_eq!(sweep(|x| 8.0 + x).suggestion(), None);
        assert_eq!(LrSweep::new(&[], false).suggestion(), None);
    }

    #[test]
    fn a_loss_that_falls_to_the_end_of_the_range_is_said() {
        let falling = LrSweep { exploded: false, ..sweep(|x| 2.0 - 0.2 * (x + 6.0)) };
        assert!(falling.suggestion().is_some_and(|found| found.still_falling));
    }
}
