//! The source of random numbers: a counter-based generator, keyed by the purpose of its numbers.

use rand::SeedableRng;

/// ChaCha with eight rounds: its key is the purpose, its position the draw.
pub type Rng = rand_chacha::ChaCha8Rng;

/// Purpose: initial values of parameters.
pub const INIT: u64 = 0x494e_4954;
/// Purpose: dropout and drop path masks.
pub const DROPOUT: u64 = 0x4452_4f50;

/// The generator of (seed, a, b, purpose): equal keys give equal draws on any machine and thread.
pub fn keyed(seed: u64, a: u64, b: u64, purpose: u64) -> Rng {
    let mut key = [0u8; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, a, b, purpose]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Rng::from_seed(key)
}

/// A stable 64-bit hash of a name (FNV-1a), to key a generator by it.
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
