//! The gradient of the filters of a depthwise convolution.

use std::ops::Range;

use rayon::prelude::*;

use super::window::{Strips, Window};
use super::{BLOCK_VECTORS, BUFFER};
use crate::cpu::conv2d::{Geometry, Image, Walk};
use crate::cpu::isa::{self, Isa};
use crate::cpu::simd::{self, Kernel, Simd};

/// Slices of the batch whose filter gradients are summed apart.
const SLICES: usize = 16;

pub fn weight_grad(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let walk = Walk::forward(g);
    let strips = Strips::new(isa, &walk);
    let tasks = g.n * strips.count;
    let slices = tasks.min(SLICES);
    let sums: Vec<Vec<f32>> = (0..slices)
        .into_par_iter()
        .map(|s| {
            let tasks = s * tasks / slices..(s + 1) * tasks / slices;
            isa::run_on(isa, GradSlice { g, walk: &walk, strips: &strips, x, dy, tasks })
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
