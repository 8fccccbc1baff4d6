//! The product of gathered pixels with packed weights: the forward pass and the input's gradient.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::pack::{Columns, Packed};
use super::{Geometry, Walk, output_buffer};
use crate::kernels::memory::SharedMut;
use crate::kernels::simd::{self, Isa, Kernel, Simd};

/// Below this many channels a tap is too short a run: the taps are unfolded into one.
const SHORT_RUN: usize = 8;
/// Source values a task works on: they should stay in the L2 cache while the panels pass.
const TASK_VALUES: usize = 48 * 1024;

pub fn forward(isa: Isa, g: &Geometry, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let packed = Packed::new(g, w, Columns::Outputs, isa.panel_width());
    let mut y = output_buffer(g.n * g.oh * g.ow * g.o);
    let walk = Walk::forward(g);
    let source = Image { values: x, h: g.h, w: g.w, c: g.c };
    let target = Target { start: SharedMut::new(y.as_mut_ptr()), h: g.oh, w: g.ow, c: g.o };
    product(isa, g, source, &packed, &walk, target, bias);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(isa: Isa, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let packed = Packed::new(g, w, Columns::Inputs, isa.panel_width());
    let mut dx = output_buffer(g.n * g.h * g.w * g.c);
    let source = Image { values: dy, h: g.oh, w: g.ow, c: g.o };
    let target = Target { start: SharedMut::new(dx.as_mut_ptr()), h: g.h, w: g.w, c: g.c };
    for walk in Walk::input_grad(g) {
        product(isa, g, source, &packed, &walk, target, None);
    }
    // SAFETY: the phases together visit every input pixel; one without taps writes zeros.
    unsafe { dx.finish() }
}

/// Images as they lie, `[n, h, w, c]`.
#[derive(Clone, Copy)]
struct Image<'a> {
    values: &'a [f32],
    h: usize,
    w: usize,
    c: usize,
}

/// Where results go, `[n, h, w, c]`.
#[derive(Clone, Copy)]
struct Target {
    start: SharedMut,
    h: usize,
    w: usize,
    c: usize,
}

fn product(isa: Isa, g: &Geometry, source: Image, packed: &Packed, walk: &Walk, target: Target, bias: Option<&[f32]>) {
    let pixels = g.n * walk.grid.0 * walk.grid.1;
    let panels = g.config.groups * packed.panels;
    let unfold = packed.k < SHORT_RUN && g.config.groups == 1 && walk.taps.len() > 1 && walk.taps.len() == packed.taps;
    let threads = rayon::current_num_threads();
    let values_per_pixel = if unfold { packed.k * packed.taps } else { source.c };
    let chunk = (TASK_VALUES / values_per_pixel).clamp(48, 4096).min(pixels.div_ceil(4 * threads).next_multiple_of(48));
    let chunks = pixels.div_ceil(chunk);
    // Few pixels (late layers, one image): the panels are divided among tasks as well.
    let parts = (2 * threads).div_ceil(chunks).min(panels);
    (0..chunks * parts).into_par_iter().for_each(|task| {
        let (index, part) = (task / parts, task % parts);
        simd::run_on(
            isa,
            Task {
                batch: g.n,
                source,
                packed,
                walk,
                target,
                bias,
                unfold,
                pixels: index * chunk..pixels.min((index + 1) * chunk),
                panels: part * panels / parts..(part + 1) * panels / parts,
            },
        );
    });
}

struct Task<'a> {
    batch: usize,
    source: Image<'a>,
    packed: &'a Packed,
    walk: &'a Walk,
    target: Target,
    bias: Option<&'a [f32]>,
    unfold: bool,
    pixels: Range<usize>,
    panels: Range<usize>,
}

/// A point of the grid: the image it lies in, where its taps start to look, where its result goes.
#[derive(Clone, Copy, Default)]
struct Pixel {
    image: usize,
    y: isize,
    x: isize,
    target: usize,
}

/// What a thread reuses from task to task.
#[derive(Default)]
struct Scratch {
    pixels: Vec<Pixel>,
    zeros: Vec<f32>,
    unfolded: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        debug_assert_eq!(self.packed.width, 2 * S::LANES);
        debug_assert_eq!(self.source.values.len(), self.batch * self.source.h * self.source.w * self.source.c);
        // Taken out rather than borrowed in a closure: closures do not inherit the instruction set.
        let mut scratch = SCRATCH.take();
        self.locate(&mut scratch.pixels);
        if scratch.zeros.len() < self.packed.k {
            scratch.zeros.resize(self.packed.k, 0.0);
        }
        if self.unfold {
            self.unfold(&scratch.pixels, &mut scratch.unfolded);
        }
        let Scratch { pixels, zeros, unfolded } = &scratch;
        let run = if self.unfold { self.packed.k * self.packed.taps } else { 0 };
        for panel in self.panels.clone() {
            let mut first = 0;
            while first < pixels.len() {
                let rows = simd::tile_height::<S>(pixels.len() - first);
                let tile = &pixels[first..first + rows];
                let unfolded = &unfolded[first * run..];
                macro_rules! rows {
                    ($($r:literal)*) => {
                        match rows {
                            // SAFETY: `tile` has $r pixels; the instruction set is available.
                            $($r if $r <= S::ROWS => unsafe { self.tile::<S, $r>(panel, tile, zeros, unfolded) },)*
                            _ => unreachable!("a height of tile_height"),
                        }
                    };
                }
                rows!(1 2 4 6 12);
                first += rows;
            }
        }
        SCRATCH.set(scratch);
    }
}

impl Task<'_> {
    /// The points of this task's part of the grid.
    #[inline(always)]
    fn locate(&self, pixels: &mut Vec<Pixel>) {
        let (gh, gw) = self.walk.grid;
        let (source, target) = (&self.source, &self.target);
        pixels.clear();
        pixels.extend(self.pixels.clone().map(|index| {
            let (n, y, x) = (index / (gh * gw), index / gw % gh, index % gw);
            let ty = self.walk.start.0 + y * self.walk.spacing.0;
            let tx = self.walk.start.1 + x * self.walk.spacing.1;
            Pixel {
                image: n * source.h * source.w * source.c,
                y: (y * self.walk.step.0) as isize,
                x: (x * self.walk.step.1) as isize,
                target: ((n * target.h + ty) * target.w + tx) * target.c,
            }
        }));
    }

    /// Offset in the source of what a tap sees from a pixel, or `None` outside the image.
    #[inline(always)]
    fn offset(&self, pixel: &Pixel, dy: isize, dx: isize) -> Option<usize> {
        let (y, x) = ((pixel.y + dy) as usize, (pixel.x + dx) as usize);
        // Negative coordinates became large ones.
        (y < self.source.h && x < self.source.w).then(|| pixel.image + (y * self.source.w + x) * self.source.c)
    }

    /// All taps of each pixel as one run: `[pixel][tap][channel]`.
    #[inline(always)]
    fn unfold(&self, pixels: &[Pixel], unfolded: &mut Vec<f32>) {
        let c = self.packed.k;
        unfolded.clear();
        for pixel in pixels {
            for tap in &self.walk.taps {
                match self.offset(pixel, tap.dy, tap.dx) {
                    Some(offset) => unfolded.extend_from_slice(&self.source.values[offset..offset + c]),
                    None => unfolded.resize(unfolded.len() + c, 0.0),
                }
            }
        }
    }

    /// One register tile: `R` pixels × one panel, over all taps and channels.
    ///
    /// # Safety
    /// The instruction set of `S` is available; `tile` has `R` pixels of this task; no other task
    /// writes this panel's columns of their targets.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize>(&self, panel: usize, tile: &[Pixel], zeros: &[f32], unfolded: &[f32]) {
        let packed = self.packed;
        let (group, panel) = (panel / packed.panels, panel % packed.panels);
        let weights = packed.panel(group, panel);
        let first = group * packed.columns + panel * packed.width;
        let used = packed.width.min(packed.columns - panel * packed.width);
        // SAFETY: each row's pointer is valid for the run it is used for (a tap's channels within the
        // source, the zeros, or the unfolded run); weights hold `run × width` values at each tap;
        // targets are in the buffer, and `used` columns of a pixel belong to this panel alone.
        unsafe {
            let mut acc = [[S::splat(0.0); 2]; R];
            let mut rows = [zeros.as_ptr(); R];
            if self.unfold {
                let run = packed.k * packed.taps;
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = unfolded.as_ptr().add(r * run);
                }
                multiply::<S, R>(&mut acc, &rows, weights.as_ptr(), run);
            } else {
                let base = group * packed.k;
                for tap in &self.walk.taps {
                    for (r, row) in rows.iter_mut().enumerate() {
                        *row = match self.offset(tile.get_unchecked(r), tap.dy, tap.dx) {
                            Some(offset) => self.source.values.as_ptr().add(offset + base),
                            None => zeros.as_ptr(),
                        };
                    }
                    let weights = weights.as_ptr().add(tap.index * packed.k * packed.width);
                    multiply::<S, R>(&mut acc, &rows, weights, packed.k);
                }
            }
            let low = used.min(S::LANES);
            let mut bias = [S::splat(0.0); 2];
            if let Some(values) = self.bias {
                let values = values.as_ptr().add(first);
                bias = [S::load_partial(values, low), S::load_partial(values.add(low), used - low)];
            }
            for (pixel, acc) in tile.iter().zip(acc) {
                let to = self.target.start.at(pixel.target + first);
                if used == packed.width {
                    S::store(to, S::add(acc[0], bias[0]));
                    S::store(to.add(S::LANES), S::add(acc[1], bias[1]));
                } else {
                    S::store_partial(to, S::add(acc[0], bias[0]), low);
                    if used > S::LANES {
                        S::store_partial(to.add(S::LANES), S::add(acc[1], bias[1]), used - S::LANES);
                    }
                }
            }
        }
    }
}

/// `acc[r] += Σ_k rows[r][k] · weights[k]`: the loop that everything else serves.
///
/// # Safety
/// The instruction set of `S` is available; each row holds `k` values, `weights` holds
/// `k × 2 LANES`.
#[inline(always)]
unsafe fn multiply<S: Simd, const R: usize>(
    acc: &mut [[S::V; 2]; R],
    rows: &[*const f32; R],
    weights: *const f32,
    k: usize,
) {
    // SAFETY: by the contract above.
    unsafe {
        for i in 0..k {
            let b0 = S::load(weights.add(i * 2 * S::LANES));
            let b1 = S::load(weights.add(i * 2 * S::LANES + S::LANES));
            for r in 0..R {
                let a = S::splat(*rows[r].add(i));
                acc[r][0] = S::fma(a, b0, acc[r][0]);
                acc[r][1] = S::fma(a, b1, acc[r][1]);
            }
        }
    }
}
