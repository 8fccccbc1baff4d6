//! The product of gathered pixels with packed weights: the forward pass and the input's gradient.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::kept::Filters;
use super::pack::{Columns, Packed};
use super::{Epilogue, Geometry, Image, Tap, Target, Walk};
use crate::kernels::activation::curves::Curve as _;
use crate::kernels::activation::{Activation, with_curve};
use crate::kernels::memory::{SharedMut, Uninit};
use crate::kernels::simd::{self, Isa, Kernel, Simd, with_tile};

/// Below this many channels a tap is too short a run: the taps of a filter's row, which lie side by
/// side in the image, are joined into one.
const SHORT_RUN: usize = 8;
/// Vectors of weights that are asked for ahead, where that pays: a panel of many channels lies in the L2 cache.
const AHEAD: usize = 24;
/// Source values a task works on: they should stay in the L2 cache while the panels pass.
const TASK_VALUES: usize = 48 * 1024;
/// Up to this many points of a grid, a tile is the same point of several images, so that a tap outside the image is outside for
/// all rows and is left out: 30 % of the products at 4×4, 4 % at 32×32.
const SHARED_POINTS: usize = 32 * 32;

pub fn forward(isa: Isa, g: &Geometry, x: &[f32], w: Filters, after: Epilogue) -> Vec<f32> {
    let packed = w.packed(g, after.scale, isa.panel_width(g.og()));
    let mut y = Uninit::new(g.n * g.oh * g.ow * g.o);
    let walk = Walk::forward(g);
    let source = Image { values: x, h: g.h, w: g.w, c: g.c };
    let target = Target { start: SharedMut::new(y.as_mut_ptr()), h: g.oh, w: g.ow, c: g.o };
    product(isa, g, source, &packed, &walk, target, after);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(isa: Isa, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let packed = Packed::new(g, w, None, Columns::Inputs, isa.panel_width(g.cg()));
    let mut dx = Uninit::new(g.n * g.h * g.w * g.c);
    let source = Image { values: dy, h: g.oh, w: g.ow, c: g.o };
    let target = Target { start: SharedMut::new(dx.as_mut_ptr()), h: g.h, w: g.w, c: g.c };
    for walk in Walk::input_grad(g) {
        product(isa, g, source, &packed, &walk, target, Epilogue::default());
    }
    // SAFETY: the phases together visit every input pixel; one without taps writes zeros.
    unsafe { dx.finish() }
}

fn product(isa: Isa, g: &Geometry, source: Image, packed: &Packed, walk: &Walk, target: Target, after: Epilogue) {
    let pixels = g.n * walk.grid.0 * walk.grid.1;
    let panels = g.config.groups * packed.panels;
    let joined = if packed.k < SHORT_RUN && g.config.groups == 1 { walk.joined() } else { 1 };
    let threads = rayon::current_num_threads();
    let chunk = (TASK_VALUES / source.c).clamp(48, 4096).min(pixels.div_ceil(4 * threads).next_multiple_of(48));
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
                after,
                joined,
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
    after: Epilogue<'a>,
    /// Taps that are one run.
    joined: usize,
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
    /// A joined run for each pixel of a tile, where it lies partly outside the image.
    edges: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let vectors = self.packed.width / S::LANES;
        debug_assert_eq!(self.source.values.len(), self.batch * self.source.h * self.source.w * self.source.c);
        // Taken out rather than borrowed in a closure: closures do not inherit the instruction set.
        let mut scratch = SCRATCH.take();
        let points = self.walk.grid.0 * self.walk.grid.1;
        let together = self.joined == 1 && self.walk.taps.len() > 1 && points <= SHARED_POINTS;
        self.locate(if together { 2 * S::ROWS / vectors } else { 1 }, &mut scratch.pixels);
        let run = self.joined * self.packed.k;
        if scratch.zeros.len() < run {
            scratch.zeros.resize(run, 0.0);
        }
        scratch.edges.resize(S::ROWS * run, 0.0);
        let Scratch { pixels, zeros, edges } = &mut scratch;
        for panel in self.panels.clone() {
            let mut first = 0;
            while first < pixels.len() {
                let rows = simd::tile_height::<S>(vectors, pixels.len() - first);
                let tile = &pixels[first..first + rows];
                // SAFETY: `tile` has H pixels, the panel V vectors; the instruction set is available.
                with_tile!(S, rows, vectors, |H, V| unsafe {
                    if self.joined == 1 {
                        self.tile::<S, H, V, false>(panel, tile, zeros, edges)
                    } else {
                        self.tile::<S, H, V, true>(panel, tile, zeros, edges)
                    }
                });
                first += rows;
            }
        }
        if self.after.activation != Activation::Identity {
            with_curve!(self.after.activation, C => {
                let columns = self.columns();
                for pixel in pixels.iter() {
                    // SAFETY: this task has written these columns of this pixel, which are its alone.
                    let row = unsafe {
                        std::slice::from_raw_parts_mut(self.target.start.at(pixel.target + columns.start), columns.len())
                    };
                    for value in row {
                        *value = C::value::<S::Scalar>(*value);
                    }
                }
            });
        }
        SCRATCH.set(scratch);
    }
}

impl Task<'_> {
    /// The channels of the target that this task's panels are.
    #[inline(always)]
    fn columns(&self) -> Range<usize> {
        let packed = self.packed;
        let start = |panel: usize| panel / packed.panels * packed.columns + panel % packed.panels * packed.width;
        let last = self.panels.end - 1;
        let used = packed.width.min(packed.columns - last % packed.panels * packed.width);
        start(self.panels.start)..start(last) + used
    }

    /// The points of this task's part of the grid: for `together` images at a time, each point of all of them.
    #[inline(always)]
    fn locate(&self, together: usize, pixels: &mut Vec<Pixel>) {
        let (gh, gw) = self.walk.grid;
        let (source, target) = (&self.source, &self.target);
        let mut first = self.pixels.start / (gh * gw * together) * together;
        let mut images = together.min(self.batch - first);
        let within = self.pixels.start - first * gh * gw;
        let (mut y, mut x, mut image) = (within / images / gw, within / images % gw, within % images);
        pixels.clear();
        // Counted, not divided: three divisions a pixel cost more than a stem's product.
        for _ in self.pixels.clone() {
            let n = first + image;
            let ty = self.walk.start.0 + y * self.walk.spacing.0;
            let tx = self.walk.start.1 + x * self.walk.spacing.1;
            pixels.push(Pixel {
                image: n * source.h * source.w * source.c,
                y: (y * self.walk.step.0) as isize,
                x: (x * self.walk.step.1) as isize,
                target: ((n * target.h + ty) * target.w + tx) * target.c,
            });
            image += 1;
            if image == images {
                (image, x) = (0, x + 1);
            }
            if x == gw {
                (x, y) = (0, y + 1);
            }
            if y == gh {
                (y, first) = (0, first + images);
                images = together.min(self.batch - first);
            }
        }
    }

    /// Offset in the source of what a tap sees from a pixel, or `None` outside the image.
    #[inline(always)]
    fn offset(&self, pixel: &Pixel, dy: isize, dx: isize) -> Option<usize> {
        let (y, x) = ((pixel.y + dy) as usize, (pixel.x + dx) as usize);
        // Negative coordinates became large ones.
        (y < self.source.h && x < self.source.w).then(|| pixel.image + (y * self.source.w + x) * self.source.c)
    }

    /// Where a pixel's run of joined taps starts: in the source, in the zeros, or, where it lies
    /// partly outside the image, in `edge`, into which it is copied.
    #[inline(always)]
    fn joined_run(&self, pixel: &Pixel, tap: &Tap, zeros: &[f32], edge: &mut [f32]) -> *const f32 {
        let Image { values, h, w, c } = self.source;
        let (y, x) = ((pixel.y + tap.dy) as usize, pixel.x + tap.dx);
        if y >= h {
            return zeros.as_ptr();
        }
        let row = pixel.image + y * w * c;
        if x >= 0 && x as usize + self.joined <= w {
            return values[row + x as usize * c..].as_ptr();
        }
        for (i, out) in edge.chunks_exact_mut(c).enumerate() {
            match usize::try_from(x + i as isize) {
                Ok(x) if x < w => out.copy_from_slice(&values[row + x * c..][..c]),
                _ => out.fill(0.0),
            }
        }
        edge.as_ptr()
    }

    /// One register tile: `R` pixels × one panel of `V` vectors, over all taps and channels.
    ///
    /// # Safety
    /// The instruction set of `S` is available; `tile` has `R` pixels of this task; panels are `V` vectors wide; no other task
    /// writes this panel's columns of their targets.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize, const JOINED: bool>(
        &self,
        panel: usize,
        tile: &[Pixel],
        zeros: &[f32],
        edges: &mut [f32],
    ) {
        let packed = self.packed;
        let (group, panel) = (panel / packed.panels, panel % packed.panels);
        let weights = packed.panel(group, panel);
        let first = group * packed.columns + panel * packed.width;
        let used = packed.width.min(packed.columns - panel * packed.width);
        // SAFETY: each row's pointer is valid for the run it is used for (channels within the source,
        // the zeros, or a copied edge); weights hold `run × width` values at each run;
        // targets are in the buffer, and `used` columns of a pixel belong to this panel alone.
        unsafe {
            let mut acc = [[S::splat(0.0); V]; R];
            let mut rows = [zeros.as_ptr(); R];
            if JOINED {
                let run = self.joined * packed.k;
                for tap in self.walk.taps.iter().step_by(self.joined) {
                    for ((row, pixel), edge) in rows.iter_mut().zip(tile).zip(edges.chunks_exact_mut(run)) {
                        *row = self.joined_run(pixel, tap, zeros, edge);
                    }
                    let weights = weights.as_ptr().add(tap.index * packed.k * packed.width);
                    multiply::<S, R, V>(&mut acc, &rows, weights, run);
                }
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
                            None => zeros.as_ptr(),
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
