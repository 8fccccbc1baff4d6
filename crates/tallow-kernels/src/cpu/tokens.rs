//! Sequences of tokens: position embeddings, concatenation, selection.

use rayon::prelude::*;

use super::CHUNK;
use super::memory::{Uninit, copy, fill};

/// Each sample of `x` plus the same `added`: `x` `[samples, len]`, `added` `[len]`.
///
/// # Panics
/// If `added` does not divide `x`.
pub fn add_to_each(x: &[f32], added: &[f32]) -> Vec<f32> {
    let len = added.len().max(1);
    assert!(x.len().is_multiple_of(len), "samples of the length that is added");
    let mut y = Uninit::new(x.len());
    y.slots().par_chunks_mut(len).zip(x.par_chunks(len)).for_each(|(y, x)| {
        for ((y, x), added) in y.iter_mut().zip(x).zip(added) {
            y.write(x + added);
        }
    });
    // SAFETY: every sample was written, `len` values each.
    unsafe { y.finish() }
}

/// One sequence of [`concat()`].
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// `[samples, len]`, or `[len]` where `shared`.
    pub values: &'a [f32],
    /// Values of a sample: its tokens times their width.
    pub len: usize,
    /// Whether every sample takes the same values.
    pub shared: bool,
}

/// The parts of each sample one behind the other: `[samples, Σ len]`.
///
/// # Panics
/// If a part is shorter than `samples` say.
pub fn concat(samples: usize, parts: &[Part]) -> Vec<f32> {
    let len: usize = parts.iter().map(|part| part.len).sum();
    for part in parts {
        assert_eq!(part.values.len(), if part.shared { part.len } else { samples * part.len }, "a part's length");
    }
    let mut y = Uninit::new(samples * len);
    y.slots().par_chunks_mut(len.max(1)).enumerate().for_each(|(at, mut sample)| {
        for part in parts {
            let from = if part.shared { 0 } else { at * part.len };
            let (to, rest) = sample.split_at_mut(part.len);
            copy(to, &part.values[from..from + part.len]);
            sample = rest;
        }
    });
    // SAFETY: the parts of a sample fill it.
    unsafe { y.finish() }
}

/// Values `from..from + len` of each sample of `x` `[samples, all]`: `[samples, len]`.
///
/// # Panics
/// If `all` does not divide `x`, or the range exceeds it.
pub fn narrow(x: &[f32], all: usize, from: usize, len: usize) -> Vec<f32> {
    assert!(from + len <= all, "a range of the sample");
    let samples = x.len().checked_div(all).unwrap_or(0);
    assert_eq!(samples * all, x.len(), "whole samples");
    let mut y = Uninit::new(samples * len);
    let pairs = y.slots().par_chunks_mut(len.max(1)).zip(x.par_chunks(all.max(1)));
    pairs.with_min_len(CHUNK.div_ceil(len.max(1))).for_each(|(y, x)| copy(y, &x[from..from + len]));
    // SAFETY: every sample was written.
    unsafe { y.finish() }
}

/// Each sample of `dy` `[samples, len]` at `from` of `all` values, zeros around it: `[samples, all]`, the gradient of
/// [`narrow`].
///
/// # Panics
/// If `len` does not divide `dy`, or the range exceeds `all`.
pub fn narrow_backward(dy: &[f32], all: usize, from: usize, len: usize) -> Vec<f32> {
    assert!(from + len <= all, "a range of the sample");
    let samples = dy.len().checked_div(len).unwrap_or(0);
    assert_eq!(samples * len, dy.len(), "whole samples");
    let mut dx = Uninit::new(samples * all);
    dx.slots().par_chunks_mut(all.max(1)).zip(dy.par_chunks(len.max(1))).for_each(|(dx, dy)| {
        fill(dx, 0.0)[from..from + len].copy_from_slice(dy);
    });
    // SAFETY: every sample was written.
    unsafe { dx.finish() }
}
