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
}

impl Mode {
    /// Evaluation: running statistics, no dropout.
    pub fn eval() -> Self {
        Mode { training: None, draws: Cell::new(0) }
    }

    /// Training at optimiser step `step` of the run seeded with `seed`.
    pub fn train(seed: u64, step: u64) -> Self {
        Mode { training: Some((seed, step)), draws: Cell::new(0) }
    }

    /// Whether batch statistics and dropout are in force.
    pub fn is_train(&self) -> bool {
        self.training.is_some()
    }

    /// A generator for the next layer of this pass that needs one, or `None` in evaluation.
    ///
    /// Layers run in the model's order, so the n-th call always serves the same layer.
    pub fn next_rng(&self) -> Option<Rng> {
        let (seed, step) = self.training?;
        let layer = self.draws.get();
        self.draws.set(layer + 1);
        Some(rng::keyed(seed, step, layer, rng::DROPOUT))
    }
}
