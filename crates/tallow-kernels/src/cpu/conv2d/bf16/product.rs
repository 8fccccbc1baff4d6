//! The forward pass and the input's gradient: pixels of sixteen images times packed weights.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::weights::WeightTiles;
use super::{PANEL, Tiles};
use crate::cpu::activation::{Activation, activate_in_place};
use crate::cpu::bf16::product::{Product, Rows, TILE, TILE_VALUES, Term};
use crate::cpu::bf16::{Unit, pack};
use crate::cpu::conv2d::pack::Columns;
use crate::cpu::conv2d::{Epilogue, Geometry, Image, Target, Walk};
use crate::cpu::memory::Uninit;

/// Tiles of source that a task packs at most, in KiB: with a panel of weights they should stay in the L2 cache.
const TASK_TILES: usize = 640;
pub fn forward(unit: Unit, g: &Geometry, x: &[f32], w: &[f32], scale: Option<&[f32]>, after: Epilogue) -> Vec<f32> {
    let scaled: Option<Vec<f32>> = scale.map(|scale| {
        let mut scaled = w.to_vec();
        let filters = scaled.par_chunks_exact_mut(g.c * g.taps()).zip(scale);
        filters.for_each(|(filter, scale)| filter.iter_mut().for_each(|weight| *weight *= scale));
        scaled
    });
    let weights = WeightTiles::new(unit, g, scaled.as_deref().unwrap_or(w), Columns::Outputs);
    let mut y = Uninit::new(g.n * g.oh * g.ow * g.o);
    let source = Image { values: x, h: g.h, w: g.w, c: g.c };
    let target = Target { start: y.shared(), h: g.oh, w: g.ow, c: g.o };
    product(unit, g.n, source, &weights, &Walk::forward(g), target, after);
    // SAFETY: the walk visits every output pixel and writes all its channels.
    unsafe { y.finish() }
}

pub fn input_grad(unit: Unit, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let weights = WeightTiles::new(unit, g, w, Columns::Inputs);
    let mut dx = Uninit::new(g.n * g.h * g.w * g.c);
    let source = Image { values: dy, h: g.oh, w: g.ow, c: g.o };
    let target = Target { start: dx.shared(), h: g.h, w: g.w, c: g.c };
    for walk in Walk::input_grad(g) {
        product(unit, g.n, source, &weights, &walk, target, Epilogue::default());
    }
    // SAFETY: the phases together visit every input pixel; one without taps writes zeros.
    unsafe { dx.finish() }
}

fn product(unit: Unit, n: usize, source: Image, weights: &WeightTiles, walk: &Walk, target: Target, after: Epilogue) {
    let blocks = n.div_ceil(TILE);
    let (rows, threads) = (walk.grid.0, rayon::current_num_threads());
    // Tiles that a row of the grid adds, and tiles that its taps read around it.
    let row_tiles = walk.step.0 * source.w * weights.depths;
    let (highest, lowest) = walk.reach();
    let around = (lowest - highest).unsigned_abs() * source.w * weights.depths;
    let chunk = (TASK_TILES.saturating_sub(around) / row_tiles).clamp(1, rows);
    let row_chunks = rows.div_ceil(chunk);
    // Small pictures: a task takes several blocks of images.
    let together = if row_chunks > 1 { 1 } else { (TASK_TILES / (row_tiles * rows + around)).max(1) };
    let together = together.min(blocks.div_ceil(4 * threads));
    let block_chunks = blocks.div_ceil(together);
    let tasks = row_chunks * block_chunks;
    // Few pixels: the panels are divided as well.
    let parts = (2 * threads).div_ceil(tasks).min(weights.panels());
    // One row of zeros or of the shift, for whole panels.
    let mut init = vec![0f32; weights.panels() * PANEL];
    if let Some(shift) = after.shift {
        init[..shift.len()].copy_from_slice(shift);
    }
    (0..tasks * parts).into_par_iter().for_each(|task| {
        let (task, part) = (task / parts, task % parts);
        let (block_chunk, row_chunk) = (task / row_chunks, task % row_chunks);
        let panels = weights.panels();
        Bf16ProductTask {
            unit,
            n,
            source,
            weights,
            walk,
            target,
            init: &init,
            activation: after.activation,
            blocks: block_chunk * together..blocks.min((block_chunk + 1) * together),
            rows: row_chunk * chunk..rows.min((row_chunk + 1) * chunk),
            panels: part * panels / parts..(part + 1) * panels / parts,
        }
        .run();
    });
}

struct Bf16ProductTask<'a> {
    unit: Unit,
    n: usize,
    source: Image<'a>,
    weights: &'a WeightTiles,
    walk: &'a Walk,
    target: Target,
    init: &'a [f32],
    activation: Activation,
    /// Blocks of sixteen images, rows of the grid, panels of columns.
    blocks: Range<usize>,
    rows: Range<usize>,
    panels: Range<usize>,
}

#[derive(Default)]
struct Scratch {
    tiles: Tiles,
    terms: Vec<Term>,
    pixels: Vec<Pixel>,
}

/// Sixteen images at one point of the grid: where the result of the first goes, how many there are.
#[derive(Clone, Copy)]
struct Pixel {
    target: usize,
    images: usize,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Bf16ProductTask<'_> {
    fn run(self) {
        SCRATCH.with_borrow_mut(|scratch| self.run_in(scratch));
    }

    fn run_in(&self, Scratch { tiles, terms, pixels }: &mut Scratch) {
        let Bf16ProductTask { source, weights, walk, target, .. } = self;
        let depths = weights.depths;
        let ((highest, lowest), step) = (walk.reach(), walk.step.0 as isize);
        let clip = |y: isize| usize::try_from(y).unwrap_or(0).min(source.h);
        let from = clip(self.rows.start as isize * step + highest);
        let to = clip((self.rows.end as isize - 1) * step + lowest + 1).max(from);
        let block_tiles = (to - from) * source.w * depths;
        // Zeros stand first, for what lies outside the picture.
        let packed = tiles.reserve(depths * (1 + self.blocks.len() * (to - from) * source.w));
        // SAFETY: the reserved room begins with `depths` tiles.
        unsafe { packed.write_bytes(0, depths * TILE_VALUES) };
        for (index, block) in self.blocks.clone().enumerate() {
            let images = TILE.min(self.n - block * TILE);
            for (row, y) in (from..to).enumerate() {
                for x in 0..source.w {
                    let at = ((block * TILE * source.h + y) * source.w + x) * source.c;
                    let stride = source.h * source.w * source.c;
                    let rows = Rows { start: source.values[at..].as_ptr(), stride, valid: images, len: source.c };
                    let tile = depths + index * block_tiles + (row * source.w + x) * depths;
                    // SAFETY: these images exist; the tile lies in the reserved room.
                    unsafe { pack::rows(self.unit, rows, packed.add(tile * TILE_VALUES)) };
                }
            }
        }
        self.locate(pixels);
        // Terms of pairs of pixels: one for each tap that either of them sees.
        let grid = self.rows.len() * walk.grid.1;
        let see = |pixel: usize, dy: isize, dx: isize| {
            let (block, at) = (pixel / grid, pixel % grid);
            let y = ((self.rows.start + at / walk.grid.1) * walk.step.0) as isize + dy;
            let x = (at % walk.grid.1 * walk.step.1) as isize + dx;
            if !(0..source.h as isize).contains(&y) || !(0..source.w as isize).contains(&x) {
                return 0;
            }
            let tile = depths + block * block_tiles + ((y as usize - from) * source.w + x as usize) * depths;
            tile * TILE_VALUES * 2
        };
        terms.clear();
        let mut ends = Vec::with_capacity(pixels.len().div_ceil(2));
        for pair in (0..pixels.len()).step_by(2) {
            let second = if pair + 1 < pixels.len() { pair + 1 } else { pair };
            for tap in &walk.taps {
                let rows = [see(pair, tap.dy, tap.dx), see(second, tap.dy, tap.dx)];
                if rows != [0, 0] {
                    terms.push(Term { rows, columns: tap.index * weights.tap_bytes() });
                }
            }
            ends.push(terms.len());
        }
        let unit = self.unit.begin();
        let mut edge = [[0f32; PANEL]; 2 * TILE];
        let stride = target.h * target.w * target.c;
        for panel in self.panels.clone() {
            let used = PANEL.min(weights.columns - panel * PANEL);
            let init = self.init[panel * PANEL..].as_ptr();
            let mut begin = 0;
            for (pair, &end) in pixels.chunks(2).zip(&ends) {
                let terms = &terms[std::mem::replace(&mut begin, end)..end];
                let direct = used == PANEL && pair.len() == 2 && pair.iter().all(|pixel| pixel.images == TILE);
                // SAFETY: a pixel's columns of this panel are this task's alone.
                let out = |pixel: &Pixel| unsafe { target.start.at(pixel.target + panel * PANEL) };
                let (out, out_stride) = if direct {
                    ([out(&pair[0]), out(&pair[1])], stride * 4)
                } else {
                    ([edge[0].as_mut_ptr(), edge[TILE].as_mut_ptr()], PANEL * 4)
                };
                let product = Product {
                    rows: packed as usize,
                    columns: weights.panel(panel),
                    depths,
                    init: [init; 2],
                    init_stride: 0,
                    out,
                    out_stride,
                };
                // SAFETY: terms point to packed tiles or to the zeros before them, and to the weights of a tap; `out`
                // is sixteen images' columns, or `edge`.
                unsafe { unit.multiply(&product, terms) };
                if !direct {
                    for (pixel, rows) in pair.iter().zip(edge.chunks_exact(TILE)) {
                        for (image, row) in rows[..pixel.images].iter().enumerate() {
                            let to = pixel.target + image * stride + panel * PANEL;
                            // SAFETY: as above; `used` columns exist.
                            unsafe { target.start.at(to).copy_from_nonoverlapping(row.as_ptr(), used) };
                        }
                    }
                }
            }
        }
        if self.activation != Activation::Identity {
            let columns = self.panels.start * PANEL..weights.columns.min(self.panels.end * PANEL);
            for pixel in pixels.iter() {
                for image in 0..pixel.images {
                    // SAFETY: this task has written these columns of this pixel, which are its alone.
                    activate_in_place(self.activation, unsafe {
                        let row = target.start.at(pixel.target + image * stride + columns.start);
                        std::slice::from_raw_parts_mut(row, columns.len())
                    });
                }
            }
        }
    }

    /// The pixels of the target, block by block, row by row.
    fn locate(&self, pixels: &mut Vec<Pixel>) {
        let Bf16ProductTask { walk, target, .. } = self;
        pixels.clear();
        for block in self.blocks.clone() {
            let images = TILE.min(self.n - block * TILE);
            for y in self.rows.clone().map(|y| walk.start.0 + y * walk.spacing.0) {
                for x in (0..walk.grid.1).map(|x| walk.start.1 + x * walk.spacing.1) {
                    pixels.push(Pixel { target: ((block * TILE * target.h + y) * target.w + x) * target.c, images });
                }
            }
        }
    }
}
