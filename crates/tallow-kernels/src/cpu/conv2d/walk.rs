//! The pixels that a product reads for each pixel that it writes.

use super::{Geometry, unfold};
use crate::cpu::memory::SharedMut;

/// The images that are read, `[n, h, w, c]`.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    pub values: &'a [f32],
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

/// The images that are written, `[n, h, w, c]`.
#[derive(Clone, Copy)]
pub struct Target {
    pub start: SharedMut,
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

/// One position of the filter in a product over an image.
#[derive(Debug, Clone, Copy)]
pub struct Tap {
    /// Which tap of the filter.
    pub index: usize,
    /// Where it reads, relative to the pixel of the grid.
    pub dy: isize,
    pub dx: isize,
}

/// A product's walk over a grid of pixels: what it reads for each, and where it writes the result.
/// The forward pass is one walk; the input's gradient is one for each phase of the stride.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Points of the grid (height, width).
    pub grid: (usize, usize),
    /// Source pixels from one point to the next.
    pub step: (usize, usize),
    pub taps: Vec<Tap>,
    /// Target pixel of the first point, and from one point to the next.
    pub start: (usize, usize),
    pub spacing: (usize, usize),
    /// Whether the pixels under the taps are unfolded first.
    pub unfolded: bool,
}

impl Walk {
    pub fn forward(g: &Geometry) -> Walk {
        let taps = (0..g.taps()).map(|index| {
            let (dy, dx) = g.tap_offset(index);
            Tap { index, dy, dx }
        });
        Walk {
            grid: (g.oh, g.ow),
            step: g.config.stride,
            taps: taps.collect(),
            start: (0, 0),
            spacing: (1, 1),
            unfolded: unfold::serves(g),
        }
    }

    /// The reach of the taps up and down from their pixel's row: the least and the greatest `dy`.
    pub fn reach(&self) -> (isize, isize) {
        let rows = || self.taps.iter().map(|tap| tap.dy);
        (rows().min().unwrap_or(0), rows().max().unwrap_or(0))
    }

    /// Input pixel (y, x) received tap k of output pixel (y − offset_k) / stride, where that is whole:
    /// pixels of one residue modulo the stride share their taps.
    pub fn input_grad(g: &Geometry) -> Vec<Walk> {
        let (sy, sx) = g.config.stride;
        let phases = (0..sy).flat_map(|py| (0..sx).map(move |px| (py, px)));
        phases
            .filter(|&(py, px)| py < g.h && px < g.w)
            .map(|(py, px)| {
                let taps = (0..g.taps()).filter_map(|index| {
                    let (dy, dx) = g.tap_offset(index);
                    let (dy, dx) = (py as isize - dy, px as isize - dx);
                    let whole = dy.rem_euclid(sy as isize) == 0 && dx.rem_euclid(sx as isize) == 0;
                    whole.then(|| Tap { index, dy: dy.div_euclid(sy as isize), dx: dx.div_euclid(sx as isize) })
                });
                Walk {
                    grid: ((g.h - py).div_ceil(sy), (g.w - px).div_ceil(sx)),
                    step: (1, 1),
                    taps: taps.collect(),
                    start: (py, px),
                    spacing: (sy, sx),
                    unfolded: false,
                }
            })
            .collect()
    }
}
