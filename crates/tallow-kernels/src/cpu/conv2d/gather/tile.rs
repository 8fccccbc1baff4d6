//! One register tile of the product, and its innermost loop.

use super::{GatherTask, Pixel};
use crate::cpu::simd::Simd;

/// Vectors by which weights are prefetched ahead, where that pays: a panel of many channels lies in the L2 cache.
const AHEAD: usize = 24;

impl GatherTask<'_> {
    /// One register tile: `R` pixels × one panel of `V` vectors, over all taps and channels; `beside` as in
    /// `multiply_panels`, from the tile's first pixel.
    ///
    /// # Safety
    /// The instruction set of `S` is available; `tile` has `R` pixels of this task; panels are `V` vectors wide; no
    /// other task writes this panel's columns of their targets.
    #[inline(always)]
    pub(super) unsafe fn tile<S: Simd, const R: usize, const V: usize, const UNFOLDED: bool>(
        &self,
        panel: usize,
        tile: &[Pixel],
        beside: &[f32],
    ) {
        let packed = self.packed;
        let (group, panel) = (panel / packed.panels, panel % packed.panels);
        let weights = packed.panel(group, panel);
        let first = group * packed.columns + panel * packed.width;
        let used = packed.width.min(packed.columns - panel * packed.width);
        // SAFETY: each row's pointer is valid for the run it is used for (channels within the source,
        // the zeros, or an unfolded pixel); weights hold `run × width` values at each run;
        // targets are in the buffer, and `used` columns of a pixel belong to this panel alone.
        unsafe {
            let mut acc = [[S::splat(0.0); V]; R];
            let mut rows = [beside.as_ptr(); R];
            if UNFOLDED {
                let width = packed.taps * packed.k;
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = beside.as_ptr().add(r * width);
                }
                multiply::<S, R, V>(&mut acc, &rows, weights.as_ptr(), width);
            } else {
                let base = group * packed.k;
                for tap in &self.walk.taps {
                    let mut inside = false;
                    for (r, row) in rows.iter_mut().enumerate() {
                        *row = match self.offset(tile.get_unchecked(r), tap.dy, tap.dx) {
                            Some(offset) => {
                                inside = true;
                                self.source.values.as_ptr().add(offset + base)
                            }
                            None => beside.as_ptr(),
                        };
                    }
                    if !inside {
                        continue;
                    }
                    let weights = weights.as_ptr().add(tap.index * packed.k * packed.width);
                    multiply::<S, R, V>(&mut acc, &rows, weights, packed.k);
                }
            }
            let mut bias = [S::splat(0.0); V];
            if let Some(values) = self.after.shift {
                for (v, bias) in bias.iter_mut().enumerate() {
                    let at = v * S::LANES;
                    if at + S::LANES <= used {
                        *bias = S::load(values.as_ptr().add(first + at));
                    } else if at < used {
                        *bias = S::load_partial(values.as_ptr().add(first + at), used - at);
                    }
                }
            }
            for (pixel, acc) in tile.iter().zip(acc) {
                let to = self.target.start.at(pixel.target + first);
                for (v, (acc, bias)) in acc.into_iter().zip(bias).enumerate() {
                    if (v + 1) * S::LANES <= used {
                        S::store(to.add(v * S::LANES), S::add(acc, bias));
                    } else if v * S::LANES < used {
                        S::store_partial(to.add(v * S::LANES), S::add(acc, bias), used - v * S::LANES);
                    }
                }
            }
        }
    }
}

/// `acc[r] += Σ_k rows[r][k] · weights[k]`: the loop that everything else serves.
///
/// # Safety
/// The instruction set of `S` is available; each row holds `k` values, `weights` holds `k × V` vectors.
#[inline(always)]
unsafe fn multiply<S: Simd, const R: usize, const V: usize>(
    acc: &mut [[S::V; V]; R],
    rows: &[*const f32; R],
    weights: *const f32,
    k: usize,
) {
    // SAFETY: by the contract above.
    unsafe {
        let mut i = 0;
        while i + S::UNROLL <= k {
            for ahead in 0..S::UNROLL {
                step::<S, R, V>(acc, rows, weights, i + ahead);
            }
            i += S::UNROLL;
        }
        for i in i..k {
            step::<S, R, V>(acc, rows, weights, i);
        }
    }
}

/// `acc[r] += rows[r][i] · weights[i]`.
///
/// # Safety
/// As `multiply`'s, with `i < k`.
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const V: usize>(
    acc: &mut [[S::V; V]; R],
    rows: &[*const f32; R],
    weights: *const f32,
    i: usize,
) {
    // SAFETY: by the contract above.
    unsafe {
        let weights = weights.add(i * V * S::LANES);
        let mut b = [S::splat(0.0); V];
        for (v, b) in b.iter_mut().enumerate() {
            S::prefetch(weights.wrapping_add((AHEAD + v) * S::LANES));
            *b = S::load(weights.add(v * S::LANES));
        }
        for r in 0..R {
            let a = S::splat(*rows[r].add(i));
            for v in 0..V {
                acc[r][v] = S::fma(a, b[v], acc[r][v]);
            }
        }
    }
}
