//! Convolution in bf16 with sums in f32: tensors stay f32 and are rounded while they are packed, block by block.
//!
//! Images of a batch are the rows of a tile: sixteen images at one pixel. A tap is then inside the picture or outside
//! for the whole tile, whatever the stride, padding or dilation, and no product is wasted. The weights' gradient is
//! contracted over 32 images at each pixel. It pays from some eight images and eight channels on; [`serves`] says
//! where.

mod product;
mod weight_grad;
mod weights;

pub use product::{forward, input_grad};
pub use weight_grad::weight_grad;

use super::Geometry;

/// Columns of a panel: two tiles.
const PANEL: usize = 2 * crate::cpu::bf16::product::TILE;

/// Below this many images or channels most of a tile is empty, and f32 is faster.
const FEWEST: usize = 8;

/// Whether this convolution gains by bf16.
pub fn serves(g: &Geometry) -> bool {
    g.config.groups == 1 && g.n >= FEWEST && g.c >= FEWEST && g.o >= FEWEST
}

/// Tiles on a 64-byte line each, kept from task to task.
#[derive(Default)]
struct Tiles(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u16; 32]);

impl Tiles {
    /// Room for `tiles` tiles of any content.
    fn reserve(&mut self, tiles: usize) -> *mut u16 {
        let lines = tiles * crate::cpu::bf16::product::TILE;
        if self.0.len() < lines {
            self.0.resize(lines, Line([0; 32]));
        }
        self.0.as_mut_ptr().cast()
    }
}
