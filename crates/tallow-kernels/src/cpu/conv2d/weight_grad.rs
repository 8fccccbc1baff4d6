//! The gradient of the filters: for each tap, a product of input channels with output channels,
//! contracted over pixels.
//!
//! Output rows are divided into slices whose number depends on the shapes alone. A slice sums into
//! a buffer of its own, block of rows by block of rows; the buffers are added in order.

use std::ops::Range;

use rayon::prelude::*;

use super::{Geometry, unfold};
use crate::cpu::isa::{self, Isa};
use crate::cpu::memory::{SharedMut, Uninit};
use crate::cpu::simd::{self, Kernel, Simd, with_tile};

/// Pixels of a block: its panel of gradients stays in the L1 cache.
const BLOCK_PIXELS: usize = 128;
/// Slices at most, and the memory that they may take together, in values: it is written and read once more.
const MAX_SLICES: usize = 16;
const MAX_VALUES: usize = 640 << 10;

pub fn weight_grad(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plan = Plan::new(isa, g);
    let rows = g.n * g.oh;
    // A power of two, which most numbers of threads divide evenly.
    let slices = rows.min(1 << (MAX_VALUES / plan.len()).clamp(2, MAX_SLICES).ilog2());
    // More threads than slices: panels are divided as well, which changes no sum.
    let panels = plan.groups * plan.panels;
    let parts = (2 * rayon::current_num_threads()).div_ceil(slices).min(panels);
    let mut sums = Uninit::new(slices * plan.len());
    let shared = sums.shared();
    (0..slices * parts).into_par_iter().for_each(|task| {
        let (slice, part) = (task / parts, task % parts);
        let rows = slice * rows / slices..(slice + 1) * rows / slices;
        let panels = part * panels / parts..(part + 1) * panels / parts;
        let sums = SliceSums { start: shared, offset: slice * plan.len() };
        isa::run_on(isa, WeightGradTask { g, plan: &plan, x, dy, rows, panels, sums });
    });
    // SAFETY: each slice has rows, and its tasks write all sums at its first block.
    let sums = unsafe { sums.finish() };
    plan.reduce(g, &sums)
}

/// The layout of the sums: `[group][panel][tap][k][width]`.
struct Plan {
    unfold: bool,
    /// Taps that are visited one by one (1 where they are unfolded), and rows of the product.
    taps: usize,
    k: usize,
    width: usize,
    panels: usize,
    groups: usize,
}

impl Plan {
    fn new(isa: Isa, g: &Geometry) -> Plan {
        let unfold = unfold::serves(g);
        let (taps, k) = if unfold { (1, g.taps() * g.cg()) } else { (g.taps(), g.cg()) };
        let width = isa.panel_width(g.og());
        Plan { unfold, taps, k, width, panels: g.og().div_ceil(width), groups: g.config.groups }
    }

    /// Sums of a panel.
    fn panel_len(&self) -> usize {
        self.taps * self.k * self.width
    }

    fn len(&self) -> usize {
        self.groups * self.panels * self.panel_len()
    }

    /// Adds the slices in order and puts the result in the filters' layout `[o, c/groups, kh, kw]`.
    fn reduce(&self, g: &Geometry, sums: &[f32]) -> Vec<f32> {
        /// Places of the filters that are turned at a time: a cache line of each filter.
        const PLACES: usize = 16;
        let (taps, cg) = (g.taps(), g.cg());
        let filter_len = cg * taps;
        let mut dw = vec![0f32; g.o * filter_len];
        dw.par_chunks_mut(g.og() * filter_len).enumerate().for_each(|(group, filters)| {
            filters.par_chunks_mut(self.width * filter_len).enumerate().for_each(|(panel, filters)| {
                let panel = (group * self.panels + panel) * self.panel_len();
                let mut total = vec![0f32; PLACES * self.width];
                for first in (0..filter_len).step_by(PLACES) {
                    let count = PLACES.min(filter_len - first);
                    total.fill(0.0);
                    for slice in sums.chunks_exact(self.len()) {
                        for (total, place) in total.chunks_exact_mut(self.width).zip(first..first + count) {
                            // Unfolded rows are [tap][channel], which is the same place.
                            let row = panel + (place % taps * cg + place / taps) * self.width;
                            for (total, value) in total.iter_mut().zip(&slice[row..]) {
                                *total += value;
                            }
                        }
                    }
                    for (column, filter) in filters.chunks_exact_mut(filter_len).enumerate() {
                        for (value, total) in filter[first..][..count].iter_mut().zip(total.chunks_exact(self.width)) {
                            *value = total[column];
                        }
                    }
                }
            });
        });
        dw
    }
}

/// The sums of one slice.
#[derive(Clone, Copy)]
struct SliceSums {
    start: SharedMut,
    offset: usize,
}

struct WeightGradTask<'a> {
    g: &'a Geometry,
    plan: &'a Plan,
    x: &'a [f32],
    dy: &'a [f32],
    rows: Range<usize>,
    /// Panels of all groups that this task owns.
    panels: Range<usize>,
    sums: SliceSums,
}

/// Pixels at a constant distance: `len` of them, from `x` in the source and `dy` in the panel.
#[derive(Clone, Copy)]
struct Run {
    x: usize,
    dy: usize,
    len: usize,
}

impl Kernel for WeightGradTask<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (g, plan) = (self.g, self.plan);
        let rows_per_block = (BLOCK_PIXELS / g.ow).max(1);
        let (mut packed, mut unfolded, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = self.rows.start;
        while first < self.rows.end {
            let rows = first..self.rows.end.min(first + rows_per_block);
            let pixels = rows.len() * g.ow;
            self.pack(&rows, &mut packed);
            if plan.unfold {
                // SAFETY: the instruction set is available.
                unsafe { unfold::unfold::<S>(g, self.x, rows.start * g.ow..rows.end * g.ow, &mut unfolded) };
            }
            let (source, step) = if plan.unfold { (&unfolded[..], plan.k) } else { (self.x, g.config.stride.1 * g.c) };
            // A panel of gradients stays in the L1 cache while all taps and channels pass.
            for (panel, dy) in self.panels.clone().zip(packed.chunks_exact(pixels * plan.width)) {
                let group = panel / plan.panels;
                for tap in 0..plan.taps {
                    self.find_runs(&rows, group, tap, step, &mut runs);
                    let vectors = plan.width / S::LANES;
                    let mut channel = 0;
                    while channel < plan.k {
                        let height = simd::tile_height::<S>(vectors, plan.k - channel);
                        // SAFETY: runs stay within `source` and the panel `dy`; this task owns the panel's sums of its
                        // slice.
                        with_tile!(S, height, vectors, |H, V| unsafe {
                            self.tile::<S, H, V>(panel, tap, channel, first == self.rows.start, source, step, dy, &runs)
                        });
                        channel += height;
                    }
                }
            }
            first = rows.end;
        }
    }
}

impl WeightGradTask<'_> {
    /// Gradients of a block of rows by this task's panels: `[panel][pixel][width]`, zeros after a group's last column.
    #[inline(always)]
    fn pack(&self, rows: &Range<usize>, packed: &mut Vec<f32>) {
        let (g, plan) = (self.g, self.plan);
        let pixels = rows.len() * g.ow;
        packed.clear();
        packed.resize(self.panels.len() * pixels * plan.width, 0.0);
        let dy = &self.dy[rows.start * g.ow * g.o..][..pixels * g.o];
        for (index, panel) in self.panels.clone().zip(packed.chunks_exact_mut(pixels * plan.width)) {
            let (group, first) = (index / plan.panels, index % plan.panels * plan.width);
            let used = plan.width.min(g.og() - first);
            let column = group * g.og() + first;
            for (out, pixel) in panel.chunks_exact_mut(plan.width).zip(dy.chunks_exact(g.o)) {
                out[..used].copy_from_slice(&pixel[column..column + used]);
            }
        }
    }

    /// The pixels of a block of rows that see a pixel of the image through `tap`.
    #[inline(always)]
    fn find_runs(&self, rows: &Range<usize>, group: usize, tap: usize, step: usize, runs: &mut Vec<Run>) {
        let g = self.g;
        runs.clear();
        if self.plan.unfold {
            runs.push(Run { x: 0, dy: 0, len: rows.len() * g.ow });
            return;
        }
        let (dy, dx) = g.tap_offset(tap);
        let (sy, sx) = g.config.stride;
        // The first and one past the last output column whose tap lies in the image.
        let from = (-dx).max(0).unsigned_abs().div_ceil(sx);
        let to = usize::try_from(g.w as isize - dx).unwrap_or(0).div_ceil(sx).min(g.ow);
        if from >= to {
            return;
        }
        for row in rows.clone() {
            let (n, oy) = (row / g.oh, row % g.oh);
            let y = ((oy * sy) as isize + dy) as usize;
            if y >= g.h {
                continue;
            }
            let x = ((from * sx) as isize + dx) as usize;
            let run = Run {
                x: ((n * g.h + y) * g.w + x) * g.c + group * g.cg(),
                dy: (row - rows.start) * g.ow + from,
                len: to - from,
            };
            match runs.last_mut() {
                Some(last) if last.x + last.len * step == run.x && last.dy + last.len == run.dy => last.len += run.len,
                _ => runs.push(run),
            }
        }
    }

    /// Adds a block's contribution to `R` channels × one panel of `V` vectors of the sums, which the `first` block
    /// starts.
    ///
    /// # Safety
    /// The instruction set of `S` is available; the runs stay within `source` and `dy`; no other
    /// task touches these sums.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the coordinates of a tile, all of them needed
    unsafe fn tile<S: Simd, const R: usize, const V: usize>(
        &self,
        panel: usize,
        tap: usize,
        channel: usize,
        first: bool,
        source: &[f32],
        step: usize,
        dy: &[f32],
        runs: &[Run],
    ) {
        let plan = self.plan;
        let row = (panel * plan.taps + tap) * plan.k + channel;
        // SAFETY: by the contract above; the sums hold `k × width` values for each panel and tap.
        unsafe {
            let sums = self.sums.start.at(self.sums.offset + row * plan.width);
            let mut acc = [[S::splat(0.0); V]; R];
            if !first {
                for (r, acc) in acc.iter_mut().enumerate() {
                    for (v, acc) in acc.iter_mut().enumerate() {
                        *acc = S::load(sums.add((r * V + v) * S::LANES));
                    }
                }
            }
            for run in runs {
                let mut x = source.as_ptr().add(run.x + channel);
                let mut d = dy.as_ptr().add(run.dy * plan.width);
                for _ in 0..run.len {
                    let mut b = [S::splat(0.0); V];
                    for (v, b) in b.iter_mut().enumerate() {
                        *b = S::load(d.add(v * S::LANES));
                    }
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let a = S::splat(*x.add(r));
                        for (acc, b) in acc.iter_mut().zip(b) {
                            *acc = S::fma(a, b, *acc);
                        }
                    }
                    x = x.wrapping_add(step);
                    d = d.wrapping_add(plan.width);
                }
            }
            for (r, acc) in acc.into_iter().enumerate() {
                for (v, acc) in acc.into_iter().enumerate() {
                    S::store(sums.add((r * V + v) * S::LANES), acc);
                }
            }
        }
    }
}
