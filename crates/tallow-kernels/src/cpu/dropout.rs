//! Dropout of single values, and of whole samples.

use rayon::prelude::*;

use super::CHUNK;
use super::isa::vectorised;
use super::memory::{Slot, Uninit};

/// `x · scale` where a bit is set, 0 elsewhere; and the bits, one for each value, 32 in a word.
///
/// `draw(first, words)` fills the words of the values from number `first` on. It is called once for each chunk, from
/// any thread.
pub fn forward(x: &[f32], scale: f32, draw: impl Fn(usize, &mut [u32]) + Sync) -> (Vec<f32>, Vec<u32>) {
    let mut kept = vec![0u32; x.len().div_ceil(32)];
    let mut y = Uninit::new(x.len());
    let tasks = y.slots().par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(kept.par_chunks_mut(CHUNK / 32));
    tasks.enumerate().for_each(|(i, ((y, x), kept))| {
        draw(i * CHUNK, kept);
        apply(y, x, kept, scale);
    });
    // SAFETY: `apply` wrote every chunk, which has a word for each 32 of its values.
    (unsafe { y.finish() }, kept)
}

/// The gradient of `x`, from that of the result and the bits of [`forward`].
///
/// # Panics
/// If there are too few bits.
pub fn backward(dy: &[f32], kept: &[u32], scale: f32) -> Vec<f32> {
    assert_eq!(kept.len(), dy.len().div_ceil(32), "one bit for each value");
    let mut dx = Uninit::new(dy.len());
    let tasks = dx.slots().par_chunks_mut(CHUNK).zip(dy.par_chunks(CHUNK)).zip(kept.par_chunks(CHUNK / 32));
    tasks.for_each(|((dx, dy), kept)| apply(dx, dy, kept, scale));
    // SAFETY: `apply` wrote every chunk, which has a word for each 32 of its values.
    unsafe { dx.finish() }
}

/// Each sample times its factor. `x` is `[samples, ..]`, `factors` `[samples]`; a factor of 0 gives zeros whatever the
/// sample holds.
///
/// # Panics
/// If the samples do not divide `x`.
pub fn scale_samples(x: &[f32], factors: &[f32]) -> Vec<f32> {
    let mut y = vec![0f32; x.len()];
    let len = x.len().checked_div(factors.len()).unwrap_or(0);
    assert_eq!(len * factors.len(), x.len(), "samples of one length");
    if len > 0 {
        y.par_chunks_mut(len).zip(x.par_chunks(len)).zip(factors).for_each(|((y, x), factor)| {
            if *factor != 0.0 {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = x * factor;
                }
            }
        });
    }
    y
}

vectorised! {
    fn apply(y: &mut [Slot], x: &[f32], kept: &[u32], scale: f32) {
        let mut factors = [0f32; 32];
        for ((y, x), bits) in y.chunks_mut(32).zip(x.chunks(32)).zip(kept) {
            for (i, factor) in factors.iter_mut().enumerate() {
                // The scale where the bit is set, 0 elsewhere: a branch would be mispredicted.
                *factor = f32::from_bits(scale.to_bits() & (bits >> i & 1).wrapping_neg());
            }
            for ((y, x), factor) in y.iter_mut().zip(x).zip(&factors) {
                y.write(x * factor);
            }
        }
    }
}
