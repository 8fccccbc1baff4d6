//! Convolution with one channel a group: vectors run over channels, each tap is a product with a
//! vector of weights.
//!
//! A task copies a strip of rows, one block of channels at a time, into a buffer with the zeros
//! around it: every tap of every pixel is then at a constant distance, in the cache, and the inner
//! loops need no bounds.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::{Epilogue, Geometry, Image, Target, Walk};
use crate::kernels::activation::curves::Curve as _;
use crate::kernels::activation::{Activation, with_curve};
use crate::kernels::memory::{SharedMut, Uninit};
use crate::kernels::simd::{self, Isa, Kernel, Simd};

/// Vectors of a block of channels.
const BLOCK_VECTORS: usize = 4;
/// Values that the buffer of a strip should not exceed, so that it stays in the cache.
const STRIP_VALUES: usize = 12 * 1024;
/// Rows of a strip at the least: fewer, and most of its buffer would be the overlap with its neighbours.
const STRIP_ROWS: usize = 4;
/// Slices of the batch whose filter gradients are summed apart.
const SLICES: usize = 16;

pub fn forward(isa: Isa, g: &Geometry, x: &[f32], w: &[f32], after: Epilogue) -> Vec<f32> {
    let mut y = Uninit::new(g.n * g.oh * g.ow * g.c);
    let filter = Filter::new(g, w, after);
    let target = Target { start: SharedMut::new(y.as_mut_ptr()), h: g.oh, w: g.ow, c: g.c };
    filter.run(isa, g.n, Image { values: x, h: g.h, w: g.w, c: g.c }, &Walk::forward(g), target);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(isa: Isa, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let mut dx = Uninit::new(g.n * g.h * g.w * g.c);
    let filter = Filter::new(g, w, Epilogue::default());
    let target = Target { start: SharedMut::new(dx.as_mut_ptr()), h: g.h, w: g.w, c: g.c };
    for walk in Walk::input_grad(g) {
        filter.run(isa, g.n, Image { values: dy, h: g.oh, w: g.ow, c: g.c }, &walk, target);
    }
    // SAFETY: the phases together visit every input pixel; one without taps writes zeros.
    unsafe { dx.finish() }
}

/// The filters, ready for whole vectors.
struct Filter {
    /// `[tap][channel]`, channels filled up with zeros.
    weights: Vec<f32>,
    /// `[channel]`, filled up likewise.
    bias: Vec<f32>,
    /// Channels, filled up.
    width: usize,
    activation: Activation,
}

impl Filter {
    /// Of filters `[c, 1, kh, kw]`.
    fn new(g: &Geometry, w: &[f32], after: Epilogue) -> Filter {
        let (taps, width) = (g.taps(), g.c.next_multiple_of(simd::MAX_LANES));
        let mut weights = vec![0f32; taps * width];
        for (tap, row) in weights.chunks_exact_mut(width).enumerate() {
            for (channel, value) in row[..g.c].iter_mut().enumerate() {
                *value = w[channel * taps + tap] * after.scale.map_or(1.0, |scale| scale[channel]);
            }
        }
        let mut padded = vec![0f32; width];
        if let Some(bias) = after.shift {
            padded[..g.c].copy_from_slice(bias);
        }
        Filter { weights, bias: padded, width, activation: after.activation }
    }

    fn run(&self, isa: Isa, n: usize, source: Image, walk: &Walk, target: Target) {
        let strips = Strips::new(isa, walk);
        (0..n * strips.count).into_par_iter().for_each(|task| {
            let (image, rows) = (task / strips.count, strips.rows(task % strips.count));
            simd::run_on(isa, FilterStrip { filter: self, source, walk, target, image, rows });
        });
    }
}

/// The rows of a walk's grid, divided among tasks.
struct Strips {
    height: usize,
    count: usize,
    grid: usize,
}

impl Strips {
    fn new(isa: Isa, walk: &Walk) -> Strips {
        let window = Window::new(walk, &(0..1));
        let row = (window.columns * BLOCK_VECTORS * isa.lanes()).max(1);
        let height = (STRIP_VALUES / row).saturating_sub(window.rows).div_ceil(walk.step.0).max(STRIP_ROWS);
        let height = height.min(walk.grid.0.max(1));
        Strips { height, count: walk.grid.0.div_ceil(height), grid: walk.grid.0 }
    }

    fn rows(&self, strip: usize) -> Range<usize> {
        strip * self.height..self.grid.min((strip + 1) * self.height)
    }
}

/// The part of the source that some rows of a grid look at, what lies outside the image included.
#[derive(Clone, Copy)]
struct Window {
    /// The first row and column, which may be negative.
    y: isize,
    x: isize,
    rows: usize,
    columns: usize,
    /// The least offsets of the taps.
    dy: isize,
    dx: isize,
}

impl Window {
    fn new(walk: &Walk, rows: &Range<usize>) -> Window {
        let range = |values: &mut dyn Iterator<Item = isize>| {
            values.fold(None, |range, v| Some(range.map_or((v, v), |(lo, hi): (isize, isize)| (lo.min(v), hi.max(v)))))
        };
        let (dy, dy_end) = range(&mut walk.taps.iter().map(|t| t.dy)).unwrap_or((0, 0));
        let (dx, dx_end) = range(&mut walk.taps.iter().map(|t| t.dx)).unwrap_or((0, 0));
        Window {
            y: (rows.start * walk.step.0) as isize + dy,
            x: dx,
            rows: rows.len().saturating_sub(1) * walk.step.0 + (dy_end - dy) as usize + 1,
            columns: walk.grid.1.saturating_sub(1) * walk.step.1 + (dx_end - dx) as usize + 1,
            dy,
            dx,
        }
    }

    /// Copies channels `channel..channel + used` of one image, `block` values a pixel.
    #[inline(always)]
    fn fill(&self, source: &Image, image: usize, channel: usize, used: usize, block: usize, buffer: &mut Vec<f32>) {
        let Image { values, h, w, c } = *source;
        buffer.resize(self.rows * self.columns * block, 0.0);
        let first = (-self.x).clamp(0, self.columns as isize) as usize;
        let last = (w as isize - self.x).clamp(first as isize, self.columns as isize) as usize;
        for (row, out) in buffer.chunks_exact_mut(self.columns * block).enumerate() {
            let y = self.y + row as isize;
            if y < 0 || y >= h as isize || first == last {
                out.fill(0.0);
                continue;
            }
            out[..first * block].fill(0.0);
            out[last * block..].fill(0.0);
            let start = ((image * h + y as usize) * w + (self.x + first as isize) as usize) * c + channel;
            let pixels = values[start..].chunks(c);
            for (out, pixel) in out[first * block..last * block].chunks_exact_mut(block).zip(pixels) {
                if used == block {
                    out.copy_from_slice(&pixel[..block]);
                } else {
                    out[..used].copy_from_slice(&pixel[..used]);
                    out[used..].fill(0.0);
                }
            }
        }
    }

    /// Where each tap lies in the buffer, relative to its pixel.
    fn tap_offsets(&self, walk: &Walk, block: usize) -> Vec<usize> {
        let at = |dy: isize, dx: isize| ((dy - self.dy) as usize * self.columns + (dx - self.dx) as usize) * block;
        walk.taps.iter().map(|tap| at(tap.dy, tap.dx)).collect()
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Some rows of one image.
struct FilterStrip<'a> {
    filter: &'a Filter,
    source: Image<'a>,
    walk: &'a Walk,
    target: Target,
    image: usize,
    rows: Range<usize>,
}

impl Kernel for FilterStrip<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let FilterStrip { filter, source, walk, target, image, ref rows } = self;
        let block = BLOCK_VECTORS * S::LANES;
        let window = Window::new(walk, rows);
        let offsets = window.tap_offsets(walk, block);
        let taps: Vec<usize> = walk.taps.iter().map(|tap| tap.index * filter.width).collect();
        let step = walk.step.1 * block;
        let mut buffer = BUFFER.take();
        let mut channel = 0;
        while channel < source.c {
            let used = block.min(source.c - channel);
            window.fill(&source, image, channel, used, block, &mut buffer);
            for gy in rows.clone() {
                let row = (gy - rows.start) * walk.step.0 * window.columns * block;
                let ty = walk.start.0 + gy * walk.spacing.0;
                let mut vector = 0;
                while vector * S::LANES < used {
                    let at = channel + vector * S::LANES;
                    let lanes = S::LANES.min(source.c - at);
                    let mut gx = 0;
                    while gx < walk.grid.1 {
                        let left = walk.grid.1 - gx;
                        let tx = walk.start.1 + gx * walk.spacing.1;
                        // SAFETY: the window holds what every tap of these pixels sees, weights and bias
                        // whole vectors of every tap; the pixels lie in the target, and are this task's.
                        unsafe {
                            let tile = Tile {
                                pixels: buffer.as_ptr().add(row + gx * step + vector * S::LANES),
                                step,
                                offsets: &offsets,
                                weights: filter.weights.as_ptr().add(at),
                                taps: &taps,
                                bias: S::load(filter.bias.as_ptr().add(at)),
                                to: target.start.at(((image * target.h + ty) * target.w + tx) * source.c + at),
                                spacing: walk.spacing.1 * source.c,
                                lanes,
                            };
                            gx += match left {
                                8.. if S::ROWS >= 6 => tile.run::<S, 8>(),
                                4.. => tile.run::<S, 4>(),
                                2.. => tile.run::<S, 2>(),
                                _ => tile.run::<S, 1>(),
                            };
                        }
                    }
                    vector += 1;
                }
            }
            channel += used;
        }
        BUFFER.set(buffer);
        // Only the forward has one, whose rows lie without gaps.
        if filter.activation != Activation::Identity {
            let row = target.w * source.c;
            let start = (image * target.h + rows.start) * row;
            // SAFETY: this task has written these rows, which are its alone.
            let values = unsafe { std::slice::from_raw_parts_mut(target.start.at(start), rows.len() * row) };
            with_curve!(filter.activation, C => {
                for value in values {
                    *value = C::value::<S::Scalar>(*value);
                }
            });
        }
    }
}

/// Neighbouring pixels of a row that share their loads of the weights.
struct Tile<'a, V> {
    pixels: *const f32,
    /// Values from one pixel to the next in the buffer.
    step: usize,
    offsets: &'a [usize],
    weights: *const f32,
    taps: &'a [usize],
    bias: V,
    to: *mut f32,
    /// Values from one pixel to the next in the target.
    spacing: usize,
    lanes: usize,
}

impl<V: Copy> Tile<'_, V> {
    /// Computes `T` pixels; returns `T`.
    ///
    /// # Safety
    /// The instruction set of `S` is available, and the pointers are valid for what `T` pixels need.
    #[inline(always)]
    unsafe fn run<S: Simd<V = V>, const T: usize>(self) -> usize {
        // SAFETY: by the contract above.
        unsafe {
            let mut acc = [self.bias; T];
            for (offset, tap) in self.offsets.iter().zip(self.taps) {
                let weight = S::load(self.weights.add(*tap));
                let pixel = self.pixels.add(*offset);
                for (t, acc) in acc.iter_mut().enumerate() {
                    *acc = S::fma(S::load(pixel.add(t * self.step)), weight, *acc);
                }
            }
            for (t, acc) in acc.into_iter().enumerate() {
                let to = self.to.add(t * self.spacing);
                if self.lanes == S::LANES { S::store(to, acc) } else { S::store_partial(to, acc, self.lanes) }
            }
        }
        T
    }
}

pub fn weight_grad(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let walk = Walk::forward(g);
    let strips = Strips::new(isa, &walk);
    let tasks = g.n * strips.count;
    let slices = tasks.min(SLICES);
    let sums: Vec<Vec<f32>> = (0..slices)
        .into_par_iter()
        .map(|s| {
            let tasks = s * tasks / slices..(s + 1) * tasks / slices;
            simd::run_on(isa, GradSlice { g, walk: &walk, strips: &strips, x, dy, tasks })
        })
        .collect();
    let (taps, width) = (g.taps(), g.c.next_multiple_of(simd::MAX_LANES));
    (0..g.c * taps).map(|at| sums.iter().map(|sum| sum[at % taps * width + at / taps]).sum()).collect()
}

/// The filters' gradient over some strips, as `[tap][channel]`, channels filled up.
struct GradSlice<'a> {
    g: &'a Geometry,
    walk: &'a Walk,
    strips: &'a Strips,
    x: &'a [f32],
    dy: &'a [f32],
    tasks: Range<usize>,
}

impl Kernel for GradSlice<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Vec<f32> {
        let GradSlice { g, walk, strips, x, dy, ref tasks } = self;
        let source = Image { values: x, h: g.h, w: g.w, c: g.c };
        let (width, block) = (g.c.next_multiple_of(simd::MAX_LANES), BLOCK_VECTORS * S::LANES);
        let mut sums = vec![0f32; g.taps() * width];
        let mut buffer = BUFFER.take();
        for task in tasks.clone() {
            let (image, rows) = (task / strips.count, strips.rows(task % strips.count));
            let window = Window::new(walk, &rows);
            let offsets = window.tap_offsets(walk, block);
            let mut channel = 0;
            while channel < g.c {
                let used = block.min(g.c - channel);
                window.fill(&source, image, channel, used, block, &mut buffer);
                let mut vector = 0;
                while vector * S::LANES < used {
                    let at = channel + vector * S::LANES;
                    let strip = GradStrip {
                        buffer: &buffer[vector * S::LANES..],
                        row: walk.step.0 * window.columns * block,
                        step: walk.step.1 * block,
                        dy: &dy[(image * g.oh + rows.start) * g.ow * g.c + at..],
                        pixels: (rows.len(), g.ow),
                        c: g.c,
                        lanes: S::LANES.min(g.c - at),
                    };
                    let mut tap = 0;
                    while tap < offsets.len() {
                        let sums = &mut sums[tap * width + at..];
                        let offsets = &offsets[tap..];
                        // SAFETY: the window holds what every tap of these rows sees; the sums hold
                        // whole vectors of every tap.
                        tap += unsafe {
                            match offsets.len() {
                                9.. if S::ROWS >= 6 => strip.add::<S, 9>(offsets, sums, width),
                                8.. if S::ROWS >= 6 => strip.add::<S, 8>(offsets, sums, width),
                                4.. => strip.add::<S, 4>(offsets, sums, width),
                                2.. => strip.add::<S, 2>(offsets, sums, width),
                                _ => strip.add::<S, 1>(offsets, sums, width),
                            }
                        };
                    }
                    vector += 1;
                }
                channel += used;
            }
        }
        BUFFER.set(buffer);
        sums
    }
}

/// One vector of channels of a strip.
struct GradStrip<'a> {
    buffer: &'a [f32],
    /// Values from one output row, and one output pixel, to the next in the buffer.
    row: usize,
    step: usize,
    /// Gradients from the strip's first pixel on, `c` values a pixel.
    dy: &'a [f32],
    /// Output rows and columns.
    pixels: (usize, usize),
    c: usize,
    lanes: usize,
}

impl GradStrip<'_> {
    /// Adds the strip's products to the sums of the first `T` taps, `width` values apart; returns `T`.
    ///
    /// # Safety
    /// The instruction set of `S` is available; the buffer holds what these taps see.
    #[inline(always)]
    unsafe fn add<S: Simd, const T: usize>(&self, offsets: &[usize], sums: &mut [f32], width: usize) -> usize {
        assert!(offsets.len() >= T && sums.len() >= (T - 1) * width + S::LANES);
        let sums = sums.as_mut_ptr();
        // SAFETY: by the contract and the assertion above; gradients are read within `dy`.
        unsafe {
            let mut acc = [S::splat(0.0); T];
            for (t, acc) in acc.iter_mut().enumerate() {
                *acc = S::load(sums.add(t * width));
            }
            let (rows, columns) = self.pixels;
            for row in 0..rows {
                let mut pixel = self.buffer.as_ptr().add(row * self.row);
                let mut dy = self.dy.as_ptr().add(row * columns * self.c);
                for _ in 0..columns {
                    let grad = if self.lanes == S::LANES { S::load(dy) } else { S::load_partial(dy, self.lanes) };
                    for (acc, offset) in acc.iter_mut().zip(&offsets[..T]) {
                        *acc = S::fma(S::load(pixel.add(*offset)), grad, *acc);
                    }
                    pixel = pixel.wrapping_add(self.step);
                    dy = dy.wrapping_add(self.c);
                }
            }
            for (t, acc) in acc.into_iter().enumerate() {
                S::store(sums.add(t * width), acc);
            }
        }
        T
    }
}
