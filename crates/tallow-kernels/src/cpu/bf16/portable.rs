//! Products of bf16 tiles in plain Rust, for tests.

use super::product::{Product, TILE, TILE_VALUES, Term};

/// See [`super::Ready::multiply`].
///
/// # Safety
/// That method's.
pub unsafe fn multiply(product: &Product, terms: &[Term]) {
    let wide = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    for (row, column, i, j) in (0..4 * TILE * TILE).map(|at| (at >> 9, at >> 8 & 1, at >> 4 & 15, at & 15)) {
        // SAFETY: by the contract.
        unsafe {
            let mut sum = *product.init[row].byte_add(i * product.init_stride).add(column * TILE + j);
            for (term, depth) in terms.iter().flat_map(|term| (0..product.depths).map(move |depth| (term, depth))) {
                let rows = ((product.rows + term.rows[row]) as *const u16).add(depth * TILE_VALUES);
                let columns = ((product.columns + term.columns) as *const u16).add((2 * depth + column) * TILE_VALUES);
                for k in 0..2 * TILE {
                    sum += wide(*rows.add(i * 2 * TILE + k)) * wide(*columns.add(k / 2 * 2 * TILE + 2 * j + k % 2));
                }
            }
            *product.out[row].byte_add(i * product.out_stride).add(column * TILE + j) = sum;
        }
    }
}
