//! Whether a forward pass trains or evaluates, and where its random numbers come from.

use std::cell::Cell;

use crate::rng::{self, Rng};

/// The mode of one forward pass.
///
/// Training passes carry the run's seed and the step, so that dropout draws depend on
/// (seed, step, layer) alone: neither threads nor a resumed run change them.
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

    /// Whether batch statistics and dropout are in force.
    pub fn is_train(&self) -> bool {
        self.training.is_some()
    }

    /// A generator for the next layer of this pass that drops with probability `p`; `None` in evaluation, and where `p`
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

    /// Whether any of them got one: whether what the pass made depends on chance.
    pub fn is_random(&self) -> bool {
        self.random.get()
    }

    /// Leaves out the generators of `layers` layers: those of a part whose result is known.
    pub fn skip_draws(&self, layers: u64) {
        self.draws.set(self.draws.get() + layers);
    }

    /// This pass once more from here: the same random numbers, and running statistics stay as they are, since the
    /// first time has moved them.
    pub fn replay(&self) -> Mode {
        let random = Cell::new(self.random.get());
        Mode { training: self.training, draws: Cell::new(self.draws.get()), random, replays: true }
    }

    /// Whether this is the second time, so that running statistics must not move.
    pub fn is_replay(&self) -> bool {
        self.replays
    }
}
