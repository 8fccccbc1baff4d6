//! Finds a batch size: the time and the memory of the model's training step, for powers of two.

use std::time::{Duration, Instant};

use tallow_data::{Batch, Loader};
use tallow_nn::Mode;
use tallow_optim::{Loss, Optimizer, Rates};

use crate::step::TrainStep;
use crate::transfer::{Frozen, drop_frozen};
use crate::{Error, Network, Result, RunConfig};

/// The smallest size to measure.
const SMALLEST: usize = 8;
/// The largest size to measure.
const LARGEST: usize = 1024;
/// Each size is measured for at least this many steps and this long.
const STEPS: usize = 3;
const TIME: Duration = Duration::from_millis(500);
/// The measurement ends after a step that takes longer than this.
const LONGEST: Duration = Duration::from_secs(10);
/// Sizes that reach this fraction of the best throughput count as equally fast.
const AS_FAST: f64 = 0.97;
/// The measurement ends after two sizes with less than this fraction of the best throughput.
const SLOWER: f64 = 0.8;

/// The cost of a batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchCost {
    /// Samples per batch.
    pub batch_size: usize,
    /// Seconds of a training step without loading: the fastest of those timed.
    pub step_s: f64,
    /// The peak memory of the process during the steps, in bytes, where the system reports it.
    pub peak_bytes: Option<u64>,
}

impl BatchCost {
    /// Training images per second.
    pub fn images_per_s(&self) -> f64 {
        self.batch_size as f64 / self.step_s.max(f64::MIN_POSITIVE)
    }

    fn fits(&self, most_bytes: u64) -> bool {
        self.peak_bytes.is_none_or(|bytes| bytes <= most_bytes)
    }
}

/// Times the training step (one pass, R-Drop's two; no teacher, no SAM) on batches of 8, 16, … samples up to 1024 or the
/// length of the dataset, with a learning rate of 0. Frozen parameters stay frozen.
///
/// It ends early if the memory exceeds `most_bytes`, if two sizes are much slower than smaller ones, or if a step takes ten
/// seconds. The optimiser and the model's running statistics are of no use afterwards.
///
/// # Errors
/// Images that cannot be read; an error of the model or the loss.
pub fn measure_batch_sizes(
    config: &RunConfig,
    network: Network<'_>,
    loss: &dyn Loss,
    optimizer: &mut dyn Optimizer,
    loader: &Loader,
    most_bytes: u64,
) -> Result<Vec<BatchCost>> {
    let samples = loader.samples();
    let frozen = Frozen::new(&config.transfer, network)?;
    let frozen = frozen.start_epoch(network.store, 0);
    let train_step = TrainStep {
        model: network.model,
        loss,
        teacher: None,
        frozen,
        r_drop: config.train.r_drop,
        precision: config.train.precision,
        features: None,
    };
    let (mut costs, mut slower): (Vec<BatchCost>, u32) = (Vec::new(), 0);
    let sizes = (0..).map(|power| SMALLEST << power).take_while(|size| *size <= LARGEST.min(samples));
    let mut fastest = |batch_size: usize| -> Result<f64> {
        let batch = first_samples(loader, batch_size)?;
        let (mut times, begun) = (Vec::new(), Instant::now());
        loop {
            let started = Instant::now();
            let mut batch = batch.clone();
            let input = train_step.input(&mut batch)?;
            let (_, _, mut grads) = train_step.run(&input, &batch, None, &Mode::train(0, times.len() as u64))?;
            drop_frozen(&mut grads, frozen);
            optimizer.step(&grads, Rates::new(0.0))?;
            let took = started.elapsed();
            times.push(took);
            if took > LONGEST || (times.len() >= STEPS && begun.elapsed() >= TIME) {
                break;
            }
        }
        Ok(times.iter().min().map_or(0.0, Duration::as_secs_f64))
    };
    for batch_size in sizes {
        memory::forget_peak();
        let cost = BatchCost { batch_size, step_s: fastest(batch_size)?, peak_bytes: memory::peak() };
        let best = costs.iter().map(BatchCost::images_per_s).fold(0.0, f64::max);
        slower += u32::from(cost.images_per_s() < SLOWER * best);
        let ends = slower > 1 || !cost.fits(most_bytes) || cost.step_s > LONGEST.as_secs_f64();
        costs.push(cost);
        if ends {
            break;
        }
    }
    // A second time: other programs make steps slower, never faster.
    let again = |cost: &&mut BatchCost| cost.step_s < LONGEST.as_secs_f64() && cost.fits(most_bytes);
    for cost in costs.iter_mut().filter(again) {
        cost.step_s = cost.step_s.min(fastest(cost.batch_size)?);
    }
    if costs.is_empty() {
        return Err(Error::Mismatch(format!(
            "{samples} samples are too few to find a batch size: set train.batch_size"
        )));
    }
    Ok(costs)
}

/// The batch size to train with: the smallest within `most_bytes` whose throughput is within 3 % of the best; the smallest of
/// all if none is within `most_bytes`.
pub fn choose_batch_size(costs: &[BatchCost], most_bytes: u64) -> Option<usize> {
    let fitting = || costs.iter().filter(|cost| cost.fits(most_bytes));
    let best = fitting().map(BatchCost::images_per_s).fold(0.0, f64::max);
    let as_fast = fitting().find(|cost| cost.images_per_s() >= AS_FAST * best);
    as_fast.or(costs.first()).map(|cost| cost.batch_size)
}

/// A batch of the first samples of an epoch, from the loader's own batches.
fn first_samples(loader: &Loader, count: usize) -> Result<Batch> {
    let config =
        tallow_data::LoaderConfig { batch_size: count, prefetch: 1, drop_last: false, ..loader.config().clone() };
    let one = loader.with(loader.pipeline().clone(), config)?;
    let first = one.epoch(0, 0).next().transpose()?;
    first.ok_or_else(|| Error::Mismatch("there are no training samples".to_owned()))
}

/// Half of the memory of the machine or the container, in bytes; `u64::MAX` where the system does not report it.
pub fn half_of_memory() -> u64 {
    memory::total().map_or(u64::MAX, |bytes| bytes / 2)
}

/// The memory figures of Linux.
mod memory {
    use std::fs;

    /// Resets the peak to the present use.
    pub fn forget_peak() {
        // Where that is not allowed, the peak is that since the start: larger sizes come later and use more.
        let _ = fs::write("/proc/self/clear_refs", "5");
    }

    /// The peak since then, in bytes.
    pub fn peak() -> Option<u64> {
        kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
    }

    /// The memory of the machine or the container, in bytes.
    pub fn total() -> Option<u64> {
        let machine = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
        let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
        let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
        Some(limit.map_or(machine, |limit| limit.min(machine)))
    }

    /// The bytes of the line `key   123 kB`.
    pub fn kilobytes(text: &str, key: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(batch_size: usize, images_per_s: f64, peak: u64) -> BatchCost {
        BatchCost { batch_size, step_s: batch_size as f64 / images_per_s, peak_bytes: Some(peak) }
    }

    #[test]
    fn the_smallest_of_the_fastest_that_fit_is_chosen() {
        let costs = [cost(8, 100.0, 1), cost(16, 197.0, 2), cost(32, 200.0, 4), cost(64, 300.0, 8)];
        assert_eq!(choose_batch_size(&costs, 8), Some(64));
        assert_eq!(choose_batch_size(&costs, 4), Some(16));
        assert_eq!(choose_batch_size(&costs, 1), Some(8));
        assert_eq!(choose_batch_size(&costs, 0), Some(8));
        let unknown = [BatchCost { peak_bytes: None, ..cost(8, 100.0, 0) }];
        assert_eq!(choose_batch_size(&unknown, 0), Some(8));
        assert_eq!(choose_batch_size(&[], 0), None);
    }

    #[test]
    fn lines_of_the_system_are_read() {
        assert_eq!(memory::kilobytes("Name:\tx\nVmHWM:\t   12 kB\n", "VmHWM:"), Some(12 << 10));
        assert_eq!(memory::kilobytes("VmHWM: much\n", "VmHWM:"), None);
    }
}
