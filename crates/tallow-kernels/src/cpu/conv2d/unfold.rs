//! Images of few channels, unfolded: a tap alone would be too short a run for the products.

use std::ops::Range;

use super::Geometry;
use crate::cpu::simd::{MAX_LANES, Simd};

/// Images of fewer channels are unfolded.
const SHORT_RUN: usize = 8;

/// Whether the products over an image run over unfolded pixels.
pub fn serves(g: &Geometry) -> bool {
    g.c < SHORT_RUN && g.config.groups == 1 && g.taps() > 1
}

/// Writes the inputs under each output pixel, `[pixel][tap][channel]`, zeros outside the image. `pixels` counts through
/// `[n, oh, ow]`.
///
/// # Safety
/// The instruction set of `S` is available.
#[inline(always)]
pub unsafe fn unfold<S: Simd>(g: &Geometry, x: &[f32], pixels: Range<usize>, unfolded: &mut Vec<f32>) {
    let width = g.taps() * g.c;
    // Vectors may end after the last value; what they leave there is written over by the next run.
    unfolded.resize(pixels.len() * width + MAX_LANES, 0.0);
    let (sy, sx) = g.config.stride;
    // Taps side by side in the image are one run.
    let joined = if g.config.dilation.1 == 1 { g.kw } else { 1 };
    let run = joined * g.c;
    let starts: Vec<(isize, isize)> = (0..g.taps()).step_by(joined).map(|tap| g.tap_offset(tap)).collect();
    // Where each run's row of the image starts, if there is one.
    let mut rows = vec![None; starts.len()];
    let (mut at, mut first) = (0, pixels.start);
    while first < pixels.end {
        let (image, oy, ox) = (first / (g.oh * g.ow), first / g.ow % g.oh, first % g.ow);
        for (row, (dy, _)) in rows.iter_mut().zip(&starts) {
            let y = ((oy * sy) as isize + dy) as usize;
            // Negative coordinates became large ones.
            *row = (y < g.h).then(|| (image * g.h + y) * g.w * g.c);
        }
        let count = (g.ow - ox).min(pixels.end - first);
        for ox in ox..ox + count {
            for (row, (_, dx)) in rows.iter().zip(&starts) {
                let column = (ox * sx) as isize + dx;
                match *row {
                    Some(row) if column >= 0 && column as usize + joined <= g.w => {
                        let from = row + column as usize * g.c;
                        if from + run.next_multiple_of(S::LANES) <= x.len() {
                            let mut i = 0;
                            while i < run {
                                // SAFETY: the vectors end within `x`, and within `unfolded`, which is a vector longer
                                // than its runs.
                                unsafe {
                                    S::store(unfolded.as_mut_ptr().add(at + i), S::load(x.as_ptr().add(from + i)))
                                };
                                i += S::LANES;
                            }
                        } else {
                            unfolded[at..at + run].copy_from_slice(&x[from..from + run]);
                        }
                    }
                    Some(row) => {
                        for (i, out) in unfolded[at..at + run].chunks_exact_mut(g.c).enumerate() {
                            match usize::try_from(column + i as isize) {
                                Ok(column) if column < g.w => out.copy_from_slice(&x[row + column * g.c..][..g.c]),
                                _ => out.fill(0.0),
                            }
                        }
                    }
                    None => unfolded[at..at + run].fill(0.0),
                }
                at += run;
            }
        }
        first += count;
    }
}
