//! Random values for the tests.

use rand::{Rng as _, SeedableRng as _};

/// `len` values uniform in [-0.5, 0.5), the same for the same `stream` and length.
pub fn random(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(stream << 32 | len as u64);
    (0..len).map(|_| rng.random::<f32>() - 0.5).collect()
}
