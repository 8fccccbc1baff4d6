//! The product of gathered pixels with packed weights: the forward pass and the input's gradient.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::pack::{Columns, PackedWeights};
use super::{Epilogue, Geometry, Image, Target, Walk, unfold};
use crate::cpu::activation::functions::Function as _;
use crate::cpu::activation::{Activation, with_function};
use crate::cpu::isa::{self, Isa};
use crate::cpu::memory::Uninit;
use crate::cpu::simd::{self, Kernel, Simd, with_tile};

mod tile;

/// Source values a task works on: they should stay in the L2 cache while the panels pass.
const TASK_VALUES: usize = 48 * 1024;
/// Pixels that are unfolded at a time: they stay in the L1 cache.
const UNFOLDED_PIXELS: usize = 144;
/// Up to this many points of a grid, a tile is the same point of several images, so that a tap outside the image is
/// outside for all rows and is left out: 30 % of the products at 4×4, 4 % at 32×32.
const SHARED_POINTS: usize = 32 * 32;

pub fn forward(isa: Isa, g: &Geometry, x: &[f32], packed: &PackedWeights, after: Epilogue) -> Vec<f32> {
    let mut y = Uninit::new(g.n * g.oh * g.ow * g.o);
    let walk = Walk::forward(g);
    let source = Image { values: x, h: g.h, w: g.w, c: g.c };
    let target = Target { start: y.shared(), h: g.oh, w: g.ow, c: g.o };
    product(isa, g, source, packed, &walk, target, after);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(isa: Isa, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let packed = PackedWeights::new(g, w, None, Columns::Inputs, isa.panel_width(g.cg()));
    let mut dx = Uninit::new(g.n * g.h * g.w * g.c);
    let source = Image { values: dy, h: g.oh, w: g.ow, c: g.o };
    let target = Target { start: dx.shared(), h: g.h, w: g.w, c: g.c };
    for walk in Walk::input_grad(g) {
        product(isa, g, source, &packed, &walk, target, Epilogue::default());
    }
    // SAFETY: the phases together visit every input pixel; one without taps writes zeros.
    unsafe { dx.finish() }
}

fn product(
    isa: Isa,
    g: &Geometry,
    source: Image,
    packed: &PackedWeights,
    walk: &Walk,
    target: Target,
    after: Epilogue,
) {
    let pixels = g.n * walk.grid.0 * walk.grid.1;
    let panels = g.config.groups * packed.panels;
    let threads = rayon::current_num_threads();
    let chunk = (TASK_VALUES / source.c).clamp(48, 4096).min(pixels.div_ceil(4 * threads).next_multiple_of(48));
    let chunks = pixels.div_ceil(chunk);
    // Few pixels (late layers, one image): the panels are divided among tasks as well.
    let parts = (2 * threads).div_ceil(chunks).min(panels);
    (0..chunks * parts).into_par_iter().for_each(|task| {
        let (index, part) = (task / parts, task % parts);
        isa::run_on(
            isa,
            GatherTask {
                g,
                source,
                packed,
                walk,
                target,
                after,
                pixels: index * chunk..pixels.min((index + 1) * chunk),
                panels: part * panels / parts..(part + 1) * panels / parts,
            },
        );
    });
}

struct GatherTask<'a> {
    g: &'a Geometry,
    source: Image<'a>,
    packed: &'a PackedWeights,
    walk: &'a Walk,
    target: Target,
    after: Epilogue<'a>,
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

/// Buffers that a thread reuses from task to task.
#[derive(Default)]
struct Scratch {
    pixels: Vec<Pixel>,
    zeros: Vec<f32>,
    unfolded: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Kernel for GatherTask<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        debug_assert_eq!(self.source.values.len(), self.g.n * self.source.h * self.source.w * self.source.c);
        // Taken out rather than borrowed in a closure: closures do not inherit the instruction set.
        let mut scratch = SCRATCH.take();
        let Scratch { pixels, zeros, unfolded } = &mut scratch;
        // SAFETY: the instruction set is available; what lies beside the pixels is what they are multiplied with.
        unsafe {
            if self.walk.unfolded {
                for first in self.pixels.clone().step_by(UNFOLDED_PIXELS) {
                    let block = first..self.pixels.end.min(first + UNFOLDED_PIXELS);
                    unfold::unfold::<S>(self.g, self.source.values, block.clone(), unfolded);
                    pixels.clear();
                    pixels.extend(block.map(|at| Pixel { target: at * self.target.c, ..Pixel::default() }));
                    self.multiply_panels::<S, true>(pixels, unfolded);
                }
            } else {
                let points = self.walk.grid.0 * self.walk.grid.1;
                let together = self.walk.taps.len() > 1 && points <= SHARED_POINTS;
                self.locate(if together { 2 * S::ROWS * S::LANES / self.packed.width } else { 1 }, pixels);
                if zeros.len() < self.packed.k {
                    zeros.resize(self.packed.k, 0.0);
                }
                self.multiply_panels::<S, false>(pixels, zeros);
            }
        }
        SCRATCH.set(scratch);
    }
}

impl GatherTask<'_> {
    /// The product of some pixels of this task with all its panels. `beside` holds what the pixels see, where that is
    /// `UNFOLDED`, or else the zeros outside the image.
    ///
    /// # Safety
    /// The instruction set of `S` is available; `beside` holds a run of all taps for each pixel, or one of a tap.
    #[inline(always)]
    unsafe fn multiply_panels<S: Simd, const UNFOLDED: bool>(&self, pixels: &[Pixel], beside: &[f32]) {
        let vectors = self.packed.width / S::LANES;
        let run = if UNFOLDED { self.packed.taps * self.packed.k } else { 0 };
        for panel in self.panels.clone() {
            let mut first = 0;
            while first < pixels.len() {
                let rows = simd::tile_height::<S>(vectors, pixels.len() - first);
                let tile = &pixels[first..first + rows];
                // SAFETY: `tile` has H pixels, the panel V vectors; the instruction set is available.
                with_tile!(S, rows, vectors, |H, V| unsafe {
                    self.tile::<S, H, V, UNFOLDED>(panel, tile, &beside[first * run..])
                });
                first += rows;
            }
        }
        if self.after.activation != Activation::Identity {
            with_function!(self.after.activation, F => {
                let columns = self.columns();
                for pixel in pixels {
                    // SAFETY: this task has written these columns of this pixel, which are its alone.
                    let row = unsafe {
                        std::slice::from_raw_parts_mut(self.target.start.at(pixel.target + columns.start), columns.len())
                    };
                    for value in row {
                        *value = F::value::<S::Scalar>(*value);
                    }
                }
            });
        }
    }

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
        let mut images = together.min(self.g.n - first);
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
                images = together.min(self.g.n - first);
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
}
