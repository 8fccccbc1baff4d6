//! Finds a learning rate: a short training in which the learning rate climbs from far too low to far too high.

use tallow_data::Loader;
use tallow_nn::Mode;
use tallow_optim::{Loss, Optimizer, Rates};

use crate::step::TrainStep;
use crate::transfer::{Frozen, drop_frozen};
use crate::{Error, Network, Result, RunConfig};

/// The decay of the smoothed loss per step.
const SMOOTHING: f64 = 0.98;
/// The sweep ends where the smoothed loss is above this many times its lowest.
const EXPLODED: f64 = 4.0;

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
        Self { start: 1e-7, end: 10.0, steps: 100 }
    }
}

/// A step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrPoint {
    /// Its learning rate.
    pub lr: f64,
    /// The batch's loss before the step.
    pub loss: f64,
    /// The losses so far, smoothed exponentially without bias.
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
/// Smith 2017 (the range test); fastai's `lr_find`, whose smoothing and stop are used.
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
    let mut sweep = LrSweep { points: Vec::with_capacity(steps), exploded: false };
    let (mut running, mut lowest) = (0.0, f64::INFINITY);
    for epoch in 0.. {
        loss.start_epoch(epoch);
        for batch in loader.epoch(epoch, 0) {
            let step = sweep.points.len();
            if step == steps {
                return Ok(sweep);
            }
            let mut batch = batch?;
            let input = train_step.input(&mut batch)?;
            let (value, _, mut grads) =
                train_step.run(&input, &batch, None, &Mode::train(config.train.seed, step as u64))?;
            if !value.is_finite() {
                sweep.exploded = true;
                return Ok(sweep);
            }
            let lr = start * (end / start).powf(step as f64 / (steps - 1) as f64);
            let loss = f64::from(value);
            running = SMOOTHING * running + (1.0 - SMOOTHING) * loss;
            let smoothed = running / (1.0 - SMOOTHING.powf(step as f64 + 1.0));
            sweep.points.push(LrPoint { lr, loss, smoothed });
            lowest = smoothed.min(lowest);
            if smoothed > EXPLODED * lowest {
                sweep.exploded = true;
                return Ok(sweep);
            }
            drop_frozen(&mut grads, frozen);
            optimizer.step(&grads, Rates::new(lr))?;
        }
    }
    Ok(sweep)
}

impl LrSweep {
    /// The points that suggestions use: without the first tenth, where nothing is learnt yet, and without the last five.
    fn useful(&self) -> &[LrPoint] {
        let first = self.points.len() / 10;
        let last = self.points.len().saturating_sub(if self.points.len() > 15 { 5 } else { 0 });
        &self.points[first..last.max(first)]
    }

    /// The learning rate at which the smoothed loss falls fastest by the logarithm of the learning rate.
    pub fn steepest(&self) -> Option<f64> {
        let slope = |pair: &[LrPoint]| (pair[1].smoothed - pair[0].smoothed) / (pair[1].lr / pair[0].lr).ln();
        let pairs = self.useful().windows(2);
        let steepest = pairs.min_by(|a, b| slope(a).total_cmp(&slope(b)))?;
        (slope(steepest) < 0.0).then_some(steepest[0].lr)
    }

    /// A learning rate in the middle of the longest fall of the smoothed loss: of the longest subsequence of points each
    /// lower than the one before, halfway along.
    ///
    /// # Source
    /// ESRI's `valley`, fastai's default suggestion.
    pub fn valley(&self) -> Option<f64> {
        let points = self.useful();
        let mut lengths = vec![1usize; points.len()];
        for i in 1..points.len() {
            for j in 0..i {
                if points[i].smoothed < points[j].smoothed {
                    lengths[i] = lengths[i].max(lengths[j] + 1);
                }
            }
        }
        let (end, &length) = lengths.iter().enumerate().rev().max_by_key(|(_, length)| **length)?;
        let start = (end + 1).saturating_sub(length);
        (length > 1).then(|| points[start + (end - start) / 2].lr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flat, down between 1e-4 and 1e-2, up again.
    fn sweep() -> LrSweep {
        let loss = |lr: f64| match lr.log10() {
            x if x < -4.0 => 2.3,
            x if x < -2.0 => 2.3 - 0.5 * (1.0 - (std::f64::consts::PI * (x + 4.0) / 2.0).cos()),
            x => 1.3 + 2.0 * (x + 2.0),
        };
        let point = |i: i32| {
            let lr = 10f64.powf(f64::from(i) * 0.06 - 7.0);
            LrPoint { lr, loss: loss(lr), smoothed: loss(lr) }
        };
        LrSweep { points: (0..110).map(point).collect(), exploded: true }
    }

    #[test]
    fn suggestions_lie_in_the_fall() {
        let (steepest, valley) = (sweep().steepest().expect("a fall"), sweep().valley().expect("a fall"));
        assert!((-3.1..-2.9).contains(&steepest.log10()), "{steepest}");
        assert!((-3.2..-2.8).contains(&valley.log10()), "{valley}");
    }

    #[test]
    fn a_loss_that_never_falls_suggests_nothing() {
        let mut sweep = sweep();
        sweep.points.iter_mut().enumerate().for_each(|(i, point)| point.smoothed = 2.0 + i as f64);
        assert_eq!((sweep.steepest(), sweep.valley()), (None, None));
        sweep.points.clear();
        assert_eq!((sweep.steepest(), sweep.valley()), (None, None));
    }
}
