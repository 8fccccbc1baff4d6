//! The counter-based generator: a stream of random numbers named by (seed, epoch, sample, purpose).
//!
//! No generator is ever shared or advanced across samples, so results depend neither on the number of threads nor on
//! where a run was interrupted.

use rand::Rng as _;
use rand::SeedableRng as _;

/// The generator of every random draw.
pub type Rng = rand_chacha::ChaCha8Rng;

/// Purpose: the draws of the augmentation pipeline for one sample.
pub const AUGMENT: u64 = 1;
/// Purpose: the order of the samples in an epoch (sample 0).
pub const SHUFFLE: u64 = 2;
/// Purpose: splitting a dataset (epoch 0, sample 0).
pub const SPLIT: u64 = 3;
/// Purpose: the first values of a model's parameters (epoch 0, sample = the parameter's index).
pub const INITIALISE: u64 = 4;
/// Purpose: dropout and drop path in the network (sample = the step).
pub const DROPOUT: u64 = 5;
/// Purpose: mixing the images of a batch (sample = the step).
pub const MIX: u64 = 6;

/// The generator whose 256-bit key is these four words.
pub fn keyed(seed: u64, epoch: u64, sample: u64, purpose: u64) -> Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, epoch, sample, purpose]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Rng::from_seed(key)
}

/// A draw from the uniform distribution on `[low, high)`; `low` itself when both are equal.
pub fn uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// True with probability `p`; takes nothing from the generator when `p` is 0 or 1.
pub fn chance(rng: &mut Rng, p: f64) -> bool {
    p >= 1.0 || (p > 0.0 && rng.random::<f64>() < p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_the_key_makes_another_stream() {
        let first = |mut rng: Rng| rng.random::<u64>();
        let base = first(keyed(1, 2, 3, 4));
        assert_eq!(base, first(keyed(1, 2, 3, 4)));
        for other in [keyed(0, 2, 3, 4), keyed(1, 0, 3, 4), keyed(1, 2, 0, 4), keyed(1, 2, 3, 0)] {
            assert_ne!(base, first(other));
        }
    }

    #[test]
    fn chance_has_its_probability() {
        let mut rng = keyed(0, 0, 0, 0);
        let hits = (0..10_000).filter(|_| chance(&mut rng, 0.3)).count();
        assert!((2800..3200).contains(&hits), "{hits}"); // 4 standard deviations: ±183
        assert!(chance(&mut rng, 1.0) && !chance(&mut rng, 0.0));
    }
}
