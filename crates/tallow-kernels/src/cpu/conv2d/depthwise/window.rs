//! Strips of rows, and the part of the image that a strip reads, copied to a buffer with the zeros around it.

use std::ops::Range;

use super::BLOCK_VECTORS;
use crate::cpu::conv2d::{Image, Walk};
use crate::cpu::isa::Isa;

/// Values that the buffer of a strip should not exceed, so that it stays in the cache.
const STRIP_VALUES: usize = 12 * 1024;
/// Rows of a strip at the least: fewer, and most of its buffer would be the overlap with its neighbours.
const STRIP_ROWS: usize = 4;

/// The rows of a walk's grid, divided among tasks.
pub struct Strips {
    height: usize,
    pub count: usize,
    grid: usize,
}

impl Strips {
    pub fn new(isa: Isa, walk: &Walk) -> Strips {
        let window = Window::new(walk, &(0..1));
        let row = (window.columns * BLOCK_VECTORS * isa.lanes()).max(1);
        let height = (STRIP_VALUES / row).saturating_sub(window.rows).div_ceil(walk.step.0).max(STRIP_ROWS);
        let height = height.min(walk.grid.0.max(1));
        Strips { height, count: walk.grid.0.div_ceil(height), grid: walk.grid.0 }
    }

    pub fn rows(&self, strip: usize) -> Range<usize> {
        strip * self.height..self.grid.min((strip + 1) * self.height)
    }
}

/// The part of the source that some rows of a grid read, including what lies outside the image.
#[derive(Clone, Copy)]
pub struct Window {
    /// The first row and column, which may be negative.
    y: isize,
    x: isize,
    pub rows: usize,
    pub columns: usize,
    /// The least offsets of the taps.
    dy: isize,
    dx: isize,
}

impl Window {
    pub fn new(walk: &Walk, rows: &Range<usize>) -> Window {
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
    pub fn fill(&self, source: &Image, image: usize, channel: usize, used: usize, block: usize, buffer: &mut Vec<f32>) {
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
    pub fn tap_offsets(&self, walk: &Walk, block: usize) -> Vec<usize> {
        let at = |dy: isize, dx: isize| ((dy - self.dy) as usize * self.columns + (dx - self.dx) as usize) * block;
        walk.taps.iter().map(|tap| at(tap.dy, tap.dx)).collect()
    }
}
