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
use crate::cpu::activation::functions::Function as _;
use crate::cpu::activation::{Activation, with_function};
use crate::cpu::isa::{self, Isa};
use crate::cpu::memory::Uninit;
use crate::cpu::simd::{self, Kernel, Simd};
use window::{Strips, Window};

mod weight_grad;
mod window;

pub use weight_grad::weight_grad;

/// Vectors of a block of channels.
const BLOCK_VECTORS: usize = 4;

pub fn forward(isa: Isa, g: &Geometry, x: &[f32], w: &[f32], scale: Option<&[f32]>, after: Epilogue) -> Vec<f32> {
    let mut y = Uninit::new(g.n * g.oh * g.ow * g.c);
    let filter = Filter::new(g, w, scale, after);
    let target = Target { start: y.shared(), h: g.oh, w: g.ow, c: g.c };
    filter.run(isa, g.n, Image { values: x, h: g.h, w: g.w, c: g.c }, &Walk::forward(g), target);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(isa: Isa, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let mut dx = Uninit::new(g.n * g.h * g.w * g.c);
    let filter = Filter::new(g, w, None, Epilogue::default());
    let target = Target { start: dx.shared(), h: g.h, w: g.w, c: g.c };
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
    /// From filters `[c, 1, kh, kw]`, each multiplied by its channel's `scale` if there is one.
    fn new(g: &Geometry, w: &[f32], scale: Option<&[f32]>, after: Epilogue) -> Filter {
        let (taps, width) = (g.taps(), g.c.next_multiple_of(simd::MAX_LANES));
        let mut weights = vec![0f32; taps * width];
        for (tap, row) in weights.chunks_exact_mut(width).enumerate() {
            for (channel, value) in row[..g.c].iter_mut().enumerate() {
                *value = w[channel * taps + tap] * scale.map_or(1.0, |scale| scale[channel]);
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
            isa::run_on(isa, FilterStrip { filter: self, source, walk, target, image, rows });
        });
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
            with_function!(filter.activation, F => {
                for value in values {
                    *value = F::value::<S::Scalar>(*value);
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
