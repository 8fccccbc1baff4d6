//! Convolution with one channel a group: vectors run over channels, each tap is a product with a
//! vector of weights.

use std::ops::Range;

use rayon::prelude::*;

use super::{Geometry, Walk, output_buffer};
use crate::kernels::memory::SharedMut;
use crate::kernels::simd::{self, Isa, Kernel, Simd};

/// Neighbouring pixels that share a load of the weights.
const TILE: usize = 4;
/// Slices of the rows whose filter gradients are summed apart.
const SLICES: usize = 16;

pub fn forward(isa: Isa, g: &Geometry, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = output_buffer(g.n * g.oh * g.ow * g.c);
    let weights = by_tap(g, w);
    let target = SharedMut::new(y.as_mut_ptr());
    filter(isa, g.n, (x, g.h, g.w), &weights, g.c, &Walk::forward(g), (target, g.oh, g.ow), bias);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(isa: Isa, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let mut dx = output_buffer(g.n * g.h * g.w * g.c);
    let weights = by_tap(g, w);
    let target = SharedMut::new(dx.as_mut_ptr());
    for walk in Walk::input_grad(g) {
        filter(isa, g.n, (dy, g.oh, g.ow), &weights, g.c, &walk, (target, g.h, g.w), None);
    }
    // SAFETY: the phases together visit every input pixel; one without taps writes zeros.
    unsafe { dx.finish() }
}

/// Filters `[c, 1, kh, kw]` as `[tap][c]`.
fn by_tap(g: &Geometry, w: &[f32]) -> Vec<f32> {
    let taps = g.taps();
    (0..taps * g.c).map(|at| w[at % g.c * taps + at / g.c]).collect()
}

#[allow(clippy::too_many_arguments)] // an image, its filters, a walk and a target
fn filter(
    isa: Isa,
    n: usize,
    source: (&[f32], usize, usize),
    weights: &[f32],
    c: usize,
    walk: &Walk,
    target: (SharedMut, usize, usize),
    bias: Option<&[f32]>,
) {
    (0..n * walk.grid.0).into_par_iter().for_each(|row| {
        simd::run_on(isa, FilterRow { row, source, weights, c, walk, target, bias });
    });
}

/// One row of the grid.
struct FilterRow<'a> {
    row: usize,
    source: (&'a [f32], usize, usize),
    weights: &'a [f32],
    c: usize,
    walk: &'a Walk,
    target: (SharedMut, usize, usize),
    bias: Option<&'a [f32]>,
}

impl Kernel for FilterRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (values, h, w) = self.source;
        let (grid_h, grid_w) = self.walk.grid;
        let (n, gy) = (self.row / grid_h, self.row % grid_h);
        let c = self.c;
        let mut first = 0;
        while first < grid_w {
            let pixels = TILE.min(grid_w - first);
            let mut channel = 0;
            while channel < c {
                let lanes = S::LANES.min(c - channel);
                // SAFETY: offsets are checked against the image; each pixel of the grid has its own
                // place in the target; `lanes` channels are left in source, weights, bias and target.
                unsafe {
                    let start = match self.bias {
                        Some(bias) => load::<S>(bias.as_ptr().add(channel), lanes),
                        None => S::splat(0.0),
                    };
                    let mut acc = [start; TILE];
                    for tap in &self.walk.taps {
                        let y = ((gy * self.walk.step.0) as isize + tap.dy) as usize;
                        if y >= h {
                            continue;
                        }
                        let weight = load::<S>(self.weights.as_ptr().add(tap.index * c + channel), lanes);
                        for (p, acc) in acc.iter_mut().enumerate() {
                            let x = (((first + p) * self.walk.step.1) as isize + tap.dx) as usize;
                            if x < w && p < pixels {
                                let at = ((n * h + y) * w + x) * c + channel;
                                *acc = S::fma(load::<S>(values.as_ptr().add(at), lanes), weight, *acc);
                            }
                        }
                    }
                    let (to, th, tw) = self.target;
                    let y = self.walk.start.0 + gy * self.walk.spacing.0;
                    for (p, acc) in acc.into_iter().take(pixels).enumerate() {
                        let x = self.walk.start.1 + (first + p) * self.walk.spacing.1;
                        let to = to.at(((n * th + y) * tw + x) * c + channel);
                        if lanes == S::LANES { S::store(to, acc) } else { S::store_partial(to, acc, lanes) }
                    }
                }
                channel += lanes;
            }
            first += pixels;
        }
    }
}

pub fn weight_grad(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let rows = g.n * g.oh;
    let slices = rows.min(SLICES);
    let sums: Vec<Vec<f32>> = (0..slices)
        .into_par_iter()
        .map(|s| simd::run_on(isa, GradSlice { g, x, dy, rows: s * rows / slices..(s + 1) * rows / slices }))
        .collect();
    let (c, taps) = (g.c, g.taps());
    (0..c * taps).map(|at| sums.iter().map(|sum| sum[at % taps * c + at / taps]).sum()).collect()
}

/// The filters' gradient over some output rows, as `[tap][c]`.
struct GradSlice<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    rows: Range<usize>,
}

impl Kernel for GradSlice<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Vec<f32> {
        let g = self.g;
        let c = g.c;
        let mut sums = vec![0f32; g.taps() * c];
        for row in self.rows.clone() {
            let (n, oy) = (row / g.oh, row % g.oh);
            for tap in 0..g.taps() {
                let (ty, tx) = g.tap_offset(tap);
                let y = ((oy * g.config.stride.0) as isize + ty) as usize;
                if y >= g.h {
                    continue;
                }
                let sx = g.config.stride.1;
                let from = (-tx).max(0).unsigned_abs().div_ceil(sx);
                let to = usize::try_from(g.w as isize - tx).unwrap_or(0).div_ceil(sx).min(g.ow);
                let sums = &mut sums[tap * c..][..c];
                let mut channel = 0;
                while channel < c {
                    let lanes = S::LANES.min(c - channel);
                    // SAFETY: output columns from..to see pixels of row `y`; `lanes` channels are left.
                    unsafe {
                        // Two chains, so that one addition need not wait for the other.
                        let mut acc = [load::<S>(sums.as_ptr().add(channel), lanes), S::splat(0.0)];
                        for ox in from..to {
                            let ix = ((ox * sx) as isize + tx) as usize;
                            let a = load::<S>(self.x.as_ptr().add(((n * g.h + y) * g.w + ix) * c + channel), lanes);
                            let b = load::<S>(self.dy.as_ptr().add((row * g.ow + ox) * c + channel), lanes);
                            let chain = &mut acc[ox % 2];
                            *chain = S::fma(a, b, *chain);
                        }
                        let to = sums.as_mut_ptr().add(channel);
                        let sum = S::add(acc[0], acc[1]);
                        if lanes == S::LANES { S::store(to, sum) } else { S::store_partial(to, sum, lanes) }
                    }
                    channel += lanes;
                }
            }
        }
        sums
    }
}

/// A whole vector, or what is left of the channels.
///
/// # Safety
/// The instruction set of `S` is available; `from` is valid for `lanes ≤ LANES` values.
#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, lanes: usize) -> S::V {
    // SAFETY: by the contract above.
    unsafe { if lanes == S::LANES { S::load(from) } else { S::load_partial(from, lanes) } }
}
