//! The gradient of the filters: for each tap, input channels times output channels, contracted over images and pixels.
//!
//! The work is a list of strips: 32 images × some rows of the output. They are divided into slices whose number depends
//! on the shapes alone; each slice sums its strips in order into a buffer of its own, and the buffers are added in
//! order.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::Tiles;
use crate::cpu::bf16::product::{DEPTH, Product, Rows, TILE, TILE_VALUES, Term};
use crate::cpu::bf16::{Unit, pack};
use crate::cpu::conv2d::Geometry;
use crate::cpu::memory::{SharedMut, Uninit};

/// Tiles of a strip at most, in KiB: they are read once for each block of sums and should stay in the L2 cache.
const STRIP_TILES: usize = 1024;
/// Slices at most, and the memory that they may take together, in values: it is written and read once more.
const MAX_SLICES: usize = 16;
const MAX_VALUES: usize = 4 << 20;
/// Rows and columns of a block of sums.
const BLOCK: usize = 2 * TILE;
/// A row of sums that have not begun.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

pub fn weight_grad(unit: Unit, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plan = Plan::new(g);
    let strips = plan.strips(g);
    let slices = strips.min(MAX_SLICES).min((MAX_VALUES / plan.len()).max(2));
    // More threads than slices: input channels are divided as well, which changes no sum.
    let parts = (2 * rayon::current_num_threads()).div_ceil(slices).min(plan.inputs);
    let mut sums = Uninit::new(slices * plan.len());
    let shared = sums.shared();
    (0..slices * parts).into_par_iter().for_each(|task| {
        let (slice, part) = (task / parts, task % parts);
        let task = Bf16WeightGradTask { unit, g, plan: &plan, x, dy, sums: shared, offset: slice * plan.len() };
        let inputs = part * plan.inputs / parts..(part + 1) * plan.inputs / parts;
        SCRATCH.with_borrow_mut(|scratch| {
            let first = slice * strips / slices;
            for strip in first..(slice + 1) * strips / slices {
                task.strip(strip, strip == first, &inputs, scratch);
            }
        });
    });
    // SAFETY: each slice has a strip, the first of which writes all its sums.
    plan.reduce(g, &unsafe { sums.finish() })
}

/// The layout of the sums: `[tap][inputs][outputs]` blocks of 32 × 32.
struct Plan {
    taps: usize,
    inputs: usize,
    outputs: usize,
    /// Images and rows of a strip, and how many strips of rows there are.
    images: usize,
    rows: usize,
    row_strips: usize,
}

impl Plan {
    fn new(g: &Geometry) -> Plan {
        let (inputs, outputs) = (g.c.div_ceil(BLOCK), g.o.div_ceil(BLOCK));
        // Tiles that a row of the output needs, and what its taps read around it.
        let row = 2 * (g.config.stride.0 * g.w * inputs + g.ow * outputs);
        let around = 2 * (g.kh - 1) * g.config.dilation.0 * g.w * inputs;
        let rows = (STRIP_TILES.saturating_sub(around) / row).clamp(1, g.oh);
        let images = if rows < g.oh { 1 } else { (STRIP_TILES / (row * rows + around)).max(1) };
        Plan { taps: g.taps(), inputs, outputs, images: images * DEPTH, rows, row_strips: g.oh.div_ceil(rows) }
    }

    fn strips(&self, g: &Geometry) -> usize {
        g.n.div_ceil(self.images) * self.row_strips
    }

    fn len(&self) -> usize {
        self.taps * self.inputs * self.outputs * BLOCK * BLOCK
    }

    /// Adds the slices in order and puts the result in the filters' layout `[o, c, kh, kw]`.
    fn reduce(&self, g: &Geometry, sums: &[f32]) -> Vec<f32> {
        let (taps, len) = (self.taps, self.len());
        let mut dw = vec![0f32; g.o * g.c * taps];
        // One block of outputs after the other: their filters are one run.
        dw.par_chunks_mut(BLOCK * g.c * taps).enumerate().for_each(|(output, filters)| {
            let mut total = [0f32; BLOCK * BLOCK];
            for (tap, input) in (0..taps).flat_map(|tap| (0..self.inputs).map(move |input| (tap, input))) {
                let block = ((tap * self.inputs + input) * self.outputs + output) * BLOCK * BLOCK;
                total.fill(0.0);
                for slice in sums.chunks_exact(len) {
                    for (total, value) in total.iter_mut().zip(&slice[block..]) {
                        *total += value;
                    }
                }
                let channels = BLOCK.min(g.c - input * BLOCK);
                for (o, filter) in filters.chunks_exact_mut(g.c * taps).enumerate() {
                    for c in 0..channels {
                        filter[(input * BLOCK + c) * taps + tap] = total[c * BLOCK + o];
                    }
                }
            }
        });
        dw
    }
}

#[derive(Default)]
struct Scratch {
    x: Tiles,
    dy: Tiles,
    terms: Vec<Term>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

struct Bf16WeightGradTask<'a> {
    unit: Unit,
    g: &'a Geometry,
    plan: &'a Plan,
    x: &'a [f32],
    dy: &'a [f32],
    sums: SharedMut,
    offset: usize,
}

impl Bf16WeightGradTask<'_> {
    /// Adds one strip to the sums of these blocks of input channels; the first begins them.
    fn strip(&self, strip: usize, first: bool, inputs: &Range<usize>, Scratch { x, dy, terms }: &mut Scratch) {
        let Bf16WeightGradTask { g, plan, .. } = self;
        let ((sy, sx), image) = (g.config.stride, strip / plan.row_strips * plan.images);
        let rows = strip % plan.row_strips * plan.rows..g.oh.min((strip % plan.row_strips + 1) * plan.rows);
        let blocks: Vec<Range<usize>> =
            (image..g.n.min(image + plan.images)).step_by(DEPTH).map(|image| image..g.n.min(image + DEPTH)).collect();
        let clip = |y: isize| usize::try_from(y).unwrap_or(0).min(g.h);
        let from = clip((rows.start * sy) as isize + g.tap_offset(0).0);
        let to = clip(((rows.end - 1) * sy) as isize + g.tap_offset(plan.taps - 1).0 + 1).max(from);

        // Tiles `[block][pixel][channel block]`: those of the input only for this task's channels.
        let (x_tiles, dy_tiles) = (2 * inputs.len(), 2 * plan.outputs);
        let xs = x.reserve(blocks.len() * (to - from) * g.w * x_tiles);
        let dys = dy.reserve(blocks.len() * rows.len() * g.ow * dy_tiles);
        let channels = inputs.start * BLOCK..g.c.min(inputs.end * BLOCK);
        let source = Place { values: self.x, h: g.h, w: g.w, c: g.c, rows: from..to, channels };
        // SAFETY: the room was reserved for these tiles.
        unsafe { source.pack(self.unit, &blocks, x_tiles, xs, pack::transposed) };
        let source = Place { values: self.dy, h: g.oh, w: g.ow, c: g.o, rows: rows.clone(), channels: 0..g.o };
        // SAFETY: as above.
        unsafe { source.pack(self.unit, &blocks, dy_tiles, dys, pack::pairs) };

        let unit = self.unit.begin();
        for tap in 0..plan.taps {
            let (dy, dx) = g.tap_offset(tap);
            terms.clear();
            for (block, oy) in (0..blocks.len()).flat_map(|block| rows.clone().map(move |oy| (block, oy))) {
                let y = (oy * sy) as isize + dy;
                if !(0..g.h as isize).contains(&y) {
                    continue;
                }
                for ox in 0..g.ow {
                    let x = (ox * sx) as isize + dx;
                    if (0..g.w as isize).contains(&x) {
                        let seen = (block * (to - from) + (y as usize - from)) * g.w + x as usize;
                        let pixel = (block * rows.len() + (oy - rows.start)) * g.ow + ox;
                        let seen = seen * x_tiles * TILE_VALUES * 2;
                        let columns = pixel * dy_tiles * TILE_VALUES * 2;
                        terms.push(Term { rows: [seen, seen + TILE_VALUES * 2], columns });
                    }
                }
            }
            for input in inputs.clone() {
                for output in 0..plan.outputs {
                    let block = (tap * plan.inputs + input) * plan.outputs + output;
                    // SAFETY: this task alone touches these blocks of the slice's sums.
                    let sums = unsafe { self.sums.at(self.offset + block * BLOCK * BLOCK) };
                    let sums = [sums, sums.wrapping_add(TILE * BLOCK)];
                    let (init, init_stride) = match first {
                        true => ([ZEROS.as_ptr(); 2], 0),
                        false => (sums.map(|sums| sums.cast_const()), BLOCK * 4),
                    };
                    let product = Product {
                        rows: xs as usize + (input - inputs.start) * 2 * TILE_VALUES * 2,
                        columns: dys as usize + output * 2 * TILE_VALUES * 2,
                        depths: 1,
                        init,
                        init_stride,
                        out: sums,
                        out_stride: BLOCK * 4,
                    };
                    // SAFETY: terms point to packed tiles; the sums are a whole block.
                    unsafe { unit.multiply(&product, terms) };
                }
            }
        }
    }
}

/// Rows and channels of a batch of images.
struct Place<'a> {
    values: &'a [f32],
    h: usize,
    w: usize,
    c: usize,
    rows: Range<usize>,
    channels: Range<usize>,
}

impl Place<'_> {
    /// Packs each pixel of each block of images into `tiles` tiles; those beyond the channels become zeros.
    ///
    /// # Safety
    /// `out` has room for `blocks × rows × w × tiles` tiles; the unit is available.
    unsafe fn pack(
        &self,
        unit: Unit,
        blocks: &[Range<usize>],
        tiles: usize,
        out: *mut u16,
        pack: unsafe fn(Unit, Rows, *mut u16),
    ) {
        let (len, stride) = (self.channels.len(), self.h * self.w * self.c);
        let used = len.div_ceil(TILE);
        let mut to = out;
        for block in blocks {
            for y in self.rows.clone() {
                for x in 0..self.w {
                    let at = ((block.start * self.h + y) * self.w + x) * self.c + self.channels.start;
                    let rows = Rows { start: self.values[at..].as_ptr(), stride, valid: block.len(), len };
                    // SAFETY: these images exist; `to` moves over the room that the caller has.
                    unsafe {
                        pack(unit, rows, to);
                        to.add(used * TILE_VALUES).write_bytes(0, (tiles - used) * TILE_VALUES);
                        to = to.add(tiles * TILE_VALUES);
                    }
                }
            }
        }
    }
}
