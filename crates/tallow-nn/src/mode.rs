//! Whether a forward pass trains or evaluates, and where its random numbers come from.

use std::cell::Cell;

use crate::rng::{self, Rng};

/// The mode of one forward pass.
///
/// A training pass carries the run's seed and the step, so that dropout draws depend on
/// (seed, step, layer) alone. Neither the number of threads nor resuming a run changes them.
#[derive(Debug)]
pub struct Mode {
    training: Option<(u64, u64)>,
    draws: Cell<u64>,
    random: Cell<bool>,
    replays: bool,
}

impl Mode {
    /// Evaluation: running statistics, no dropout.
    pub fn eval() -> Self {
        Mode { training: None, draws: Cell::new(0), random: Cell::new(false), replays: false }
    }

    /// Training at optimiser step `step` of the run seeded with `seed`.
    pub fn train(seed: u64, step: u64) -> Self {
        Mode { training: Some((seed, step)), ..Mode::eval() }
    }

    /// Whether this pass trains: with batch statistics and dropout.
    pub fn is_train(&self) -> bool {
        self.training.is_some()
    }

    /// The generator of the next layer of this pass that drops with probability `p`; `None` in evaluation, and if `p`
    /// is 0.
    ///
    /// Layers run in the model's order, so the n-th call always serves the same layer.
    pub fn next_rng(&self, p: f32) -> Option<Rng> {
        let (seed, step) = self.training?;
        let layer = self.draws.get();
        self.draws.set(layer + 1);
        (p > 0.0).then(|| {
            self.random.set(true);
            rng::keyed(seed, step, layer, rng::DROPOUT)
        })
    }

    /// The number of layers that have asked for a generator so far.
    pub fn draws(&self) -> u64 {
        self.draws.get()
    }

    /// Whether any of them received one: whether the result of the pass is random.
    pub fn is_random(&self) -> bool {
        self.random.get()
    }

    /// Skips the generators of `layers` layers, whose results are known.
    pub fn skip_draws(&self, layers: u64) {
        self.draws.set(self.draws.get() + layers);
    }

    /// The mode of a second pass from here on: it draws the same random numbers, and leaves running statistics alone,
    /// which the first pass has moved.
    pub fn replay(&self) -> Mode {
        let random = Cell::new(self.random.get());
        Mode { training: self.training, draws: Cell::new(self.draws.get()), random, replays: true }
    }

    /// Whether this is a second pass, which must not move running statistics.
    pub fn is_replay(&self) -> bool {
        self.replays
    }
}
