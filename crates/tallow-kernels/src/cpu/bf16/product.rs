//! A product of tiles, as every unit computes it.

/// Rows of a tile of sums, and its columns.
pub const TILE: usize = 16;
/// Contracted values of a tile.
pub const DEPTH: usize = 32;
/// bf16 values of a tile of either operand.
pub const TILE_VALUES: usize = TILE * DEPTH;

/// One term of a product: addresses of two tiles of rows and of two tiles of columns that follow each other.
/// A term covers `depths` of them: further tiles follow these without a gap.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Term {
    /// The first tile of each of the two rows of tiles, relative to [`Product::rows`].
    pub rows: [usize; 2],
    /// The first two tiles of columns, relative to [`Product::columns`], in bytes.
    pub columns: usize,
}

/// Sums of 32 × 32: two rows of two tiles.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Product {
    /// The address to which every term's `rows` are relative.
    pub rows: usize,
    /// The address to which every term's `columns` are relative.
    pub columns: usize,
    /// Pairs of tiles in each term, 1 or more.
    pub depths: usize,
    /// The start of the sums for each row of tiles. One row of it serves all rows if `init_stride` is 0.
    pub init: [*const f32; 2],
    /// Bytes from one row of `init` to the next.
    pub init_stride: usize,
    /// The place of the sums, for each row of tiles.
    pub out: [*mut f32; 2],
    /// Bytes from one row of `out` to the next.
    pub out_stride: usize,
}

/// Rows of f32 in memory.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// The first value of the first row.
    pub start: *const f32,
    /// Values from one row to the next.
    pub stride: usize,
    /// Rows that exist.
    pub valid: usize,
    /// Values of a row.
    pub len: usize,
}
