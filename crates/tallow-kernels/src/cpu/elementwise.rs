//! Sums of two arrays, and the ReLU after one.

use rayon::prelude::*;

use super::CHUNK;
use super::memory::Uninit;

/// `a + b`, elementwise.
///
/// # Panics
/// If `a` and `b` differ in length.
pub fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "two arrays of one length");
    let mut sum = Uninit::new(a.len());
    let chunks = sum.slots().par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK));
    chunks.for_each(|((out, a), b)| {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            out.write(a + b);
        }
    });
    // SAFETY: every chunk was written.
    unsafe { sum.finish() }
}

/// `max(a + b, 0)`, elementwise; NaN stays NaN, so that it reaches the loss. If `keep_active`, also where the sum is
/// positive: what [`mask`] needs.
///
/// # Panics
/// If `a` and `b` differ in length.
pub fn add_relu(a: &[f32], b: &[f32], keep_active: bool) -> (Vec<f32>, Option<Vec<bool>>) {
    let mut sum = add(a, b);
    let active = keep_active.then(|| sum.par_iter().map(|v| *v > 0.0).collect());
    sum.par_chunks_mut(CHUNK).for_each(|chunk| {
        for value in chunk {
            if *value < 0.0 {
                *value = 0.0;
            }
        }
    });
    (sum, active)
}

/// `dy` where `active`, 0 elsewhere: the gradient of [`add_relu`]'s inputs.
///
/// # Panics
/// If the two differ in length.
pub fn mask(dy: &[f32], active: &[bool]) -> Vec<f32> {
    assert_eq!(dy.len(), active.len(), "two arrays of one length");
    let keep = |(dy, on): (&f32, &bool)| if *on { *dy } else { 0.0 };
    dy.par_iter().zip(active).map(keep).collect()
}
