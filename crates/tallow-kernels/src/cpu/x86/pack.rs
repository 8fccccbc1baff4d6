//! Packing of f32 rows into bf16 tiles by AVX-512.

use std::arch::x86_64::*;

use crate::cpu::bf16::product::{DEPTH, Rows, TILE, TILE_VALUES};

/// The first `len` of sixteen values, zeros after them.
///
/// # Safety
/// `from` holds `len` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn load(from: *const f32, len: usize) -> __m512 {
    // SAFETY: masked lanes are not read.
    unsafe { if len >= TILE { _mm512_loadu_ps(from) } else { _mm512_maskz_loadu_ps(((1u32 << len) - 1) as u16, from) } }
}

/// Two vectors as bf16: `low`'s values, then `high`'s.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn narrow(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// 32 values of row `i`, from the first of a tile.
///
/// # Safety
/// As [`rows`]'s.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn row_line(rows: Rows, i: usize, tile: usize) -> __m512i {
    if i >= rows.valid {
        return _mm512_setzero_si512();
    }
    let left = rows.len - tile * DEPTH;
    // SAFETY: rows below `valid` exist; masked lanes are not read.
    unsafe {
        let from = rows.start.add(i * rows.stride + tile * DEPTH);
        narrow(load(from, left), load(from.wrapping_add(TILE), left.saturating_sub(TILE)))
    }
}

/// # Safety
/// See [`pack::rows`](crate::cpu::bf16::pack::rows).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn rows(rows: Rows, out: *mut u16) {
    for i in 0..TILE {
        for tile in 0..rows.len.div_ceil(DEPTH) {
            // SAFETY: by the contract.
            unsafe {
                _mm512_storeu_si512(out.add(tile * TILE_VALUES + i * DEPTH).cast(), row_line(rows, i, tile));
            }
        }
    }
}

/// # Safety
/// See [`pack::columns`](crate::cpu::bf16::pack::columns).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn columns(rows: Rows, out: *mut u16) {
    // SAFETY: by the contract.
    unsafe {
        let mut lines = [_mm512_setzero_si512(); TILE];
        for (i, line) in lines.iter_mut().enumerate() {
            *line = row_line(rows, i, 0);
        }
        for (pair, line) in transpose(lines).into_iter().enumerate() {
            _mm512_storeu_si512(out.add(pair * DEPTH).cast(), line);
        }
    }
}

/// Rows 2 · `pair` and the next, their values side by side: one line of a right operand.
///
/// # Safety
/// As [`rows`]'s.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pair_line(rows: Rows, pair: usize, tile: usize) -> __m512i {
    let left = rows.len - tile * TILE;
    // SAFETY: rows below `valid` exist; masked lanes are not read.
    let row = |row: usize| unsafe {
        if row < rows.valid { load(rows.start.add(row * rows.stride + tile * TILE), left) } else { _mm512_setzero_ps() }
    };
    let halves = narrow(row(2 * pair), row(2 * pair + 1));
    #[rustfmt::skip]
    let interleave = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0,
    );
    _mm512_permutexvar_epi16(interleave, halves)
}

/// # Safety
/// See [`pack::pairs`](crate::cpu::bf16::pack::pairs).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn pairs(rows: Rows, out: *mut u16) {
    for tile in 0..rows.len.div_ceil(TILE) {
        for pair in 0..TILE {
            // SAFETY: by the contract.
            unsafe {
                _mm512_storeu_si512(out.add(tile * TILE_VALUES + pair * DEPTH).cast(), pair_line(rows, pair, tile));
            }
        }
    }
}

/// # Safety
/// See [`pack::transposed`](crate::cpu::bf16::pack::transposed).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn transposed(rows: Rows, out: *mut u16) {
    for tile in 0..rows.len.div_ceil(TILE) {
        // SAFETY: by the contract.
        unsafe {
            let mut lines = [_mm512_setzero_si512(); TILE];
            for (pair, line) in lines.iter_mut().enumerate() {
                *line = pair_line(rows, pair, tile);
            }
            for (column, line) in transpose(lines).into_iter().enumerate() {
                _mm512_storeu_si512(out.add(tile * TILE_VALUES + column * DEPTH).cast(), line);
            }
        }
    }
}

/// The transpose of 16 × 16 values of 32 bits: within quarters of 4 × 4, then the quarters.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn transpose(rows: [__m512i; TILE]) -> [__m512i; TILE] {
    let zero = _mm512_setzero_si512();
    let (mut quarters, mut out) = ([zero; TILE], [zero; TILE]);
    for i in (0..TILE).step_by(4) {
        let low = [_mm512_unpacklo_epi32(rows[i], rows[i + 1]), _mm512_unpacklo_epi32(rows[i + 2], rows[i + 3])];
        let high = [_mm512_unpackhi_epi32(rows[i], rows[i + 1]), _mm512_unpackhi_epi32(rows[i + 2], rows[i + 3])];
        quarters[i] = _mm512_unpacklo_epi64(low[0], low[1]);
        quarters[i + 1] = _mm512_unpackhi_epi64(low[0], low[1]);
        quarters[i + 2] = _mm512_unpacklo_epi64(high[0], high[1]);
        quarters[i + 3] = _mm512_unpackhi_epi64(high[0], high[1]);
    }
    // quarters[4 r + j]: values 4 q + j (q = 0..4) of rows 4 r .. 4 r + 4, one q in each 128 bits.
    for j in 0..4 {
        let [a, b, c, d] = [quarters[j], quarters[4 + j], quarters[8 + j], quarters[12 + j]];
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)];
        out[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        out[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    out
}
