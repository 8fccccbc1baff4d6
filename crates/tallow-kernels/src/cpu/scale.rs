//! Products of an array with a vector over its channels: squeeze-excite's gates and LayerScale.

use rayon::prelude::*;

use super::CHUNK;
use super::isa::vectorised;
use super::memory::{Slot, Uninit};

/// An array `[groups, rows, c]`, each group with channel factors of its own, `[groups, c]`.
#[derive(Debug, Clone, Copy)]
pub struct Groups {
    /// Groups.
    pub count: usize,
    /// Channels.
    pub channels: usize,
}

impl Groups {
    /// Values of a group, and how many of them a task works on: whole rows.
    fn blocks(self, len: usize) -> (usize, usize) {
        let group = len.checked_div(self.count).unwrap_or(0).max(1);
        let c = self.channels.max(1);
        (group, ((CHUNK / c).max(1) * c).min(group))
    }

    /// Panics where whole rows of whole groups do not make up `len` values.
    fn check(self, len: usize) {
        let row = self.count * self.channels;
        assert_eq!(len.checked_div(row).unwrap_or(0) * row, len, "whole rows of whole groups");
    }
}

/// `x` times each group's factors.
///
/// # Panics
/// If the lengths do not fit the groups.
pub fn forward(groups: Groups, x: &[f32], factors: &[f32]) -> Vec<f32> {
    groups.check(x.len());
    assert_eq!(factors.len(), groups.count * groups.channels, "factors for each group");
    let (group, block) = groups.blocks(x.len());
    let mut y = Uninit::new(x.len());
    let tasks =
        y.slots().par_chunks_mut(group).zip(x.par_chunks(group)).zip(factors.par_chunks(groups.channels.max(1)));
    tasks.for_each(|((y, x), factors)| {
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| scale_rows(y, x, factors));
    });
    // SAFETY: `scale_rows` wrote every block, which has whole rows.
    unsafe { y.finish() }
}

/// The gradient of the factors: `Σ dy · x` over the rows of each group. That of `x` is [`forward`] of `dy`.
///
/// # Panics
/// If the lengths do not fit the groups.
pub fn factor_grad(groups: Groups, dy: &[f32], x: &[f32]) -> Vec<f32> {
    groups.check(x.len());
    assert_eq!(dy.len(), x.len(), "one gradient for each value");
    let (group, block) = groups.blocks(x.len());
    let c = groups.channels.max(1);
    let mut sums = vec![0f32; groups.count * groups.channels];
    // Blocks of a fixed size, whose sums are added in order: results do not depend on the thread count.
    let tasks = sums.par_chunks_mut(c).zip(dy.par_chunks(group)).zip(x.par_chunks(group));
    tasks.for_each(|((sum, dy), x)| {
        let part = |(dy, x): (&[f32], &[f32])| {
            let mut part = vec![0f32; c];
            add_products(&mut part, dy, x);
            part
        };
        let parts: Vec<_> = dy.par_chunks(block).zip(x.par_chunks(block)).map(part).collect();
        for part in parts {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    });
    sums
}

vectorised! {
    fn scale_rows(y: &mut [Slot], x: &[f32], scales: &[f32]) {
        let c = scales.len();
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for i in 0..c {
                y[i].write(x[i] * scales[i]);
            }
        }
    }
}

vectorised! {
    fn add_products(sum: &mut [f32], a: &[f32], b: &[f32]) {
        let c = sum.len();
        for (a, b) in a.chunks_exact(c).zip(b.chunks_exact(c)) {
            for i in 0..c {
                sum[i] += a[i] * b[i];
            }
        }
    }
}
