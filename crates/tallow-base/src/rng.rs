//! A counter-based random generator, keyed by what the numbers are for.
//!
//! Each use makes its own generator from four words: the seed, two that say where (for example epoch and sample), and a
//! purpose. No generator is shared between samples or threads, so results depend neither on the number of threads nor
//! on where a run was interrupted.
//!
//! ```
//! use tallow_base::rng;
//!
//! let (seed, epoch, sample) = (0, 3, 41);
//! let mut first = rng::keyed(seed, epoch, sample, rng::AUGMENT);
//! let mut again = rng::keyed(seed, epoch, sample, rng::AUGMENT);
//! assert_eq!(rng::uniform(&mut first, -1.0, 1.0), rng::uniform(&mut again, -1.0, 1.0));
//! ```

pub use rand;
use rand::{Rng as _, SeedableRng as _};

/// The generator: ChaCha with 8 rounds. Implements [`rand::Rng`].
pub type Rng = rand_chacha::ChaCha8Rng;

/// Purpose: trials of a hyper-parameter search. Words: seed, trial, what is drawn.
pub const SEARCH: u64 = 0;
/// Purpose: augmentation of one sample. Words: seed, epoch, sample.
pub const AUGMENT: u64 = 1;
/// Purpose: the order of the samples in an epoch. Words: seed, epoch, which of the epoch's orders.
pub const SHUFFLE: u64 = 2;
/// Purpose: splitting a dataset. Words: seed, 0, 0.
pub const SPLIT: u64 = 3;
/// Purpose: mixing the images of a batch. Words: seed, epoch, batch.
pub const MIX: u64 = 6;
/// Purpose: initial values of a parameter. Words: seed, [`hash`] of the parameter's name, 0.
pub const INIT: u64 = 0x494e_4954;
/// Purpose: masks of dropout and drop path. Words: seed, step, layer.
pub const DROPOUT: u64 = 0x4452_4f50;

/// The generator whose 256-bit key is these four words. Equal keys give equal numbers on every machine and thread.
pub fn keyed(seed: u64, a: u64, b: u64, purpose: u64) -> Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, a, b, purpose]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Rng::from_seed(key)
}

/// A number drawn uniformly from `[low, high)`; `low` if the two are equal.
pub fn uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// True with probability `p`. Draws nothing if `p` is 0 or 1.
pub fn chance(rng: &mut Rng, p: f64) -> bool {
    p >= 1.0 || (p > 0.0 && rng.random::<f64>() < p)
}

/// A 64-bit hash of a name (FNV-1a) that never changes, to use as a word of a key.
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
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

    /// Every recorded result depends on these streams.
    #[test]
    fn streams_never_change() {
        let draws = |mut rng: Rng| [rng.random::<u64>(), rng.random::<u64>()];
        assert_eq!(draws(keyed(0, 0, 0, AUGMENT)), [0x8a50_a844_f7bf_3e6a, 0xebed_6f59_72ce_0ebf]);
        assert_eq!(draws(keyed(7, hash("head.weight"), 0, INIT)), [0x5170_5a89_660f_afa3, 0x07ec_a13d_66a6_20c8]);
        assert_eq!(hash("head.weight"), 0xd2ce_a444_74c6_e4f3);
    }

    #[test]
    fn chance_has_its_probability() {
        let mut rng = keyed(0, 0, 0, 0);
        let hits = (0..10_000).filter(|_| chance(&mut rng, 0.3)).count();
        assert!((2800..3200).contains(&hits), "{hits}"); // 4 standard deviations: ±183
        assert!(chance(&mut rng, 1.0) && !chance(&mut rng, 0.0));
    }
}
