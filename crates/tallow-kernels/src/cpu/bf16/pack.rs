//! Rows of f32 values as tiles of bf16, rounded to nearest.
//!
//! All take up to 16 or 32 rows of `len` values, `stride` values apart, of which the first `valid` exist: what lies
//! beyond them, or beyond `len` in the last tile, is zero.

use super::Unit;
use super::product::{DEPTH, Rows, TILE, TILE_VALUES};

/// bf16, rounded to nearest even.
pub fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() { 0x7fc0 } else { ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16 }
}

/// Sixteen rows as left operands, contracted along the row: `len / 32` tiles `[row][32]`.
///
/// # Safety
/// `rows` can be read; `out` has room for the tiles; the unit is available.
#[inline]
pub unsafe fn rows(unit: Unit, rows: Rows, out: *mut u16) {
    // SAFETY: by the contract.
    unsafe {
        if let Some(unit) = unit.native() {
            return unit.pack_rows(rows, out);
        }
        fill(out, rows, rows.len.div_ceil(DEPTH), |tile, i, k| (i, tile * DEPTH + k));
    }
}

/// Sixteen rows of at most 32 values as one right operand, contracted along the row: a tile `[value pair][row][2]`.
///
/// # Safety
/// As [`rows`]'s.
#[inline]
pub unsafe fn columns(unit: Unit, rows: Rows, out: *mut u16) {
    // SAFETY: by the contract.
    unsafe {
        if let Some(unit) = unit.native() {
            return unit.pack_columns(rows, out);
        }
        fill(out, rows, 1, |_, pair, k| (k / 2, 2 * pair + k % 2));
    }
}

/// Thirty-two rows as right operands, contracted over the rows, two by two: `len / 16` tiles `[row pair][column][2]`.
///
/// # Safety
/// As [`rows`]'s.
#[inline]
pub unsafe fn pairs(unit: Unit, rows: Rows, out: *mut u16) {
    // SAFETY: by the contract.
    unsafe {
        if let Some(unit) = unit.native() {
            return unit.pack_pairs(rows, out);
        }
        fill(out, rows, rows.len.div_ceil(TILE), |tile, pair, k| (2 * pair + k % 2, tile * TILE + k / 2));
    }
}

/// Thirty-two rows as left operands, contracted over the rows: `len / 16` tiles `[column][32 rows]`.
///
/// # Safety
/// As [`rows`]'s.
#[inline]
pub unsafe fn transposed(unit: Unit, rows: Rows, out: *mut u16) {
    // SAFETY: by the contract.
    unsafe {
        if let Some(unit) = unit.native() {
            return unit.pack_transposed(rows, out);
        }
        fill(out, rows, rows.len.div_ceil(TILE), |tile, column, k| (k, tile * TILE + column));
    }
}

/// Fills tiles by the definition: `place` says from which (row, value) each (tile, line, position) comes.
///
/// # Safety
/// `rows` can be read; `out` has room for `tiles`.
unsafe fn fill(out: *mut u16, rows: Rows, tiles: usize, place: impl Fn(usize, usize, usize) -> (usize, usize)) {
    for at in 0..tiles * TILE_VALUES {
        let (row, value) = place(at / TILE_VALUES, at % TILE_VALUES / DEPTH, at % DEPTH);
        let inside = row < rows.valid && value < rows.len;
        // SAFETY: by the contract, for a place that is inside.
        unsafe { *out.add(at) = if inside { round(*rows.start.add(row * rows.stride + value)) } else { 0 } };
    }
}
