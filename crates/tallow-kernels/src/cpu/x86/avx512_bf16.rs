//! Products of bf16 tiles on AVX512-BF16: a tile of sums at a time in sixteen registers.

use std::arch::x86_64::*;

use crate::cpu::bf16::product::{Product, TILE, TILE_VALUES, Term};

/// Whether the processor has AVX512-BF16, and the AVX-512 that packing needs.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// See [`Ready::multiply`](crate::cpu::bf16::Ready::multiply).
///
/// # Safety
/// That method's; [`is_available`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn multiply(product: &Product, terms: &[Term]) {
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        // SAFETY: by the contract; a tile is 1 KiB, of 16 lines of 64 bytes.
        unsafe {
            let mut sums = [_mm512_setzero_ps(); TILE];
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_loadu_ps(product.init[row].byte_add(i * product.init_stride).add(column * TILE));
            }
            for term in terms {
                let rows = (product.rows + term.rows[row]) as *const u16;
                let columns = (product.columns + term.columns) as *const u16;
                for depth in 0..product.depths {
                    let rows = rows.add(depth * TILE_VALUES).cast::<i32>();
                    let columns = columns.add((2 * depth + column) * TILE_VALUES).cast::<i32>();
                    for pair in 0..TILE {
                        let b = _mm512_loadu_si512(columns.add(pair * TILE).cast());
                        let b = std::mem::transmute::<__m512i, __m512bh>(b);
                        for (i, sum) in sums.iter_mut().enumerate() {
                            let a = _mm512_set1_epi32(*rows.add(i * TILE + pair));
                            let a = std::mem::transmute::<__m512i, __m512bh>(a);
                            *sum = _mm512_dpbf16_ps(*sum, a, b);
                        }
                    }
                }
            }
            for (i, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(product.out[row].byte_add(i * product.out_stride).add(column * TILE), *sum);
            }
        }
    }
}
