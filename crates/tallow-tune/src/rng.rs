//! The random generator, keyed by seed, trial and purpose: a resumed study draws the same numbers as an uninterrupted
//! one.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// The generator for trial number `trial` of a study with this seed.
pub(crate) fn keyed(seed: u64, trial: u64, purpose: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, trial, purpose, 0]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// The purpose of the values of a trial.
pub(crate) const SAMPLE: u64 = 1;
/// The purpose of the trees of the importance forest.
pub(crate) const FOREST: u64 = 2;
