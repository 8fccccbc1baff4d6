//! Filters as tiles of bf16, in the order in which the product reads them.

use std::ops::Range;

use rayon::prelude::*;

use super::{Line, PANEL, Tiles};
use crate::cpu::bf16::Unit;
use crate::cpu::bf16::pack::{self, round};
use crate::cpu::bf16::product::{DEPTH, Rows, TILE, TILE_VALUES};
use crate::cpu::conv2d::Geometry;
use crate::cpu::conv2d::pack::{Columns, places};

/// Filters as right operands: `[panel][tap][depth][2 tiles]`.
pub struct WeightTiles {
    tiles: Tiles,
    pub columns: usize,
    /// Tiles of the contraction at one tap.
    pub depths: usize,
    taps: usize,
}

impl WeightTiles {
    pub fn new(unit: Unit, g: &Geometry, weights: &[f32], side: Columns) -> WeightTiles {
        let taps = g.taps();
        let (columns, k, column_stride, k_stride) = match side {
            Columns::Outputs => (g.o, g.c, g.c * taps, taps),
            Columns::Inputs => (g.c, g.o, taps, g.c * taps),
        };
        let (panels, depths) = (columns.div_ceil(PANEL), k.div_ceil(DEPTH));
        let mut tiles = Tiles::default();
        tiles.reserve(panels * taps * depths * 2);
        let panel_lines = taps * depths * 2 * TILE;
        tiles.0.par_chunks_mut(panel_lines).enumerate().for_each(|(panel, lines)| {
            let columns = panel * PANEL..columns.min((panel + 1) * PANEL);
            if taps == 1 {
                for (depth, lines) in lines.chunks_exact_mut(2 * TILE).enumerate() {
                    matrix_tiles(
                        unit,
                        side,
                        weights,
                        g.c,
                        depth * DEPTH..k.min((depth + 1) * DEPTH),
                        columns.clone(),
                        lines,
                    );
                }
                return;
            }
            for (at, column) in places(side, k, columns.len()) {
                let filter = (panel * PANEL + column) * column_stride;
                for k in at {
                    // A line is a pair of contracted values: each column's two side by side.
                    let line = (k / DEPTH * 2 + column / TILE) * TILE + k % DEPTH / 2;
                    for (tap, weight) in weights[filter + k * k_stride..][..taps].iter().enumerate() {
                        lines[tap * depths * 2 * TILE + line].0[column % TILE * 2 + k % 2] = round(*weight);
                    }
                }
            }
        });
        WeightTiles { tiles, columns, depths, taps }
    }

    pub fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// The address of a panel's first tile.
    pub fn panel(&self, panel: usize) -> usize {
        self.tiles.0.as_ptr() as usize + panel * self.taps * self.tap_bytes()
    }

    /// Bytes from one tap of a panel to the next.
    pub fn tap_bytes(&self) -> usize {
        self.depths * 2 * TILE_VALUES * 2
    }
}

/// The two tiles of up to 32 contracted values and a panel's columns of a matrix `[o, c]`, whole lines of it at a time.
fn matrix_tiles(
    unit: Unit,
    side: Columns,
    weights: &[f32],
    c: usize,
    k: Range<usize>,
    columns: Range<usize>,
    lines: &mut [Line],
) {
    let out = lines.as_mut_ptr().cast::<u16>();
    match side {
        Columns::Outputs => {
            for (half, first) in columns.clone().step_by(TILE).enumerate() {
                let valid = TILE.min(columns.end - first);
                let rows = Rows { start: weights[first * c + k.start..].as_ptr(), stride: c, valid, len: k.len() };
                // SAFETY: `valid` rows of `k.len()` values exist; a tile is 16 lines.
                unsafe { pack::columns(unit, rows, out.add(half * TILE_VALUES)) };
            }
        }
        Columns::Inputs => {
            let start = weights[k.start * c + columns.start..].as_ptr();
            let rows = Rows { start, stride: c, valid: k.len(), len: columns.len() };
            // SAFETY: as above; a panel's columns are two tiles at most.
            unsafe { pack::pairs(unit, rows, out) };
        }
    }
}
