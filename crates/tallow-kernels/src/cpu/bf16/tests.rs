//! Products on each unit against plain Rust, and each packing against its definition.

use super::pack::round;
use super::product::{Rows, TILE_VALUES};
use super::*;

fn random(len: usize) -> Vec<f32> {
    crate::cpu::testing::random(len, 3)
}

#[test]
fn packing_is_the_same_on_every_unit() {
    for (valid, len) in [(32, 64), (32, 16), (17, 40), (5, 33), (1, 1), (16, 31)] {
        let stride = len + 3;
        let values = random(32 * stride);
        let rows = Rows { start: values.as_ptr(), stride, valid, len };
        let packed = |pack: unsafe fn(Unit, Rows, *mut u16), rows: Rows, unit| {
            let mut out = vec![1u16; 8 * TILE_VALUES];
            // SAFETY: 64 columns are at most 4 tiles; the rows lie in `values`; the unit is available.
            unsafe { pack(unit, rows, out.as_mut_ptr()) };
            out
        };
        for unit in Unit::available() {
            let sixteen = Rows { valid: valid.min(16), ..rows };
            assert!(
                packed(pack::rows, sixteen, unit) == packed(pack::rows, sixteen, Unit::PORTABLE),
                "rows {unit:?} {rows:?}"
            );
            let short = Rows { len: len.min(32), ..sixteen };
            assert!(
                packed(pack::columns, short, unit) == packed(pack::columns, short, Unit::PORTABLE),
                "columns {unit:?} {rows:?}"
            );
            assert!(
                packed(pack::pairs, rows, unit) == packed(pack::pairs, rows, Unit::PORTABLE),
                "pairs {unit:?} {rows:?}"
            );
            let (got, want) = (packed(pack::transposed, rows, unit), packed(pack::transposed, rows, Unit::PORTABLE));
            assert!(got == want, "transposed {unit:?} {rows:?}");
        }
    }
}

#[test]
fn products_are_the_definition() {
    let (depths, count) = (3, 5);
    let tiles: Vec<u16> = random(count * depths * 4 * TILE_VALUES).into_iter().map(round).collect();
    let columns: Vec<u16> = random(count * depths * 2 * TILE_VALUES + 7)[7..].iter().map(|v| round(*v)).collect();
    let init = random(2 * 16 * 40);
    let terms: Vec<Term> = (0..count)
        .map(|i| Term {
            rows: [i, count + i].map(|i| i * depths * TILE_VALUES * 2),
            columns: i * depths * TILE_VALUES * 4,
        })
        .collect();
    let run = |unit: Unit, terms: &[Term]| {
        let mut out = vec![0f32; 32 * 50];
        let product = Product {
            rows: tiles.as_ptr() as usize,
            columns: columns.as_ptr() as usize,
            depths,
            init: [init.as_ptr(), init[16 * 40..].as_ptr()],
            init_stride: 160,
            out: [out.as_mut_ptr(), out[16 * 50..].as_mut_ptr()],
            out_stride: 200,
        };
        // SAFETY: the terms' tiles lie in `tiles` and `columns`; `init` and `out` hold 32 rows of more than 32 values.
        unsafe { unit.begin().multiply(&product, terms) };
        out
    };
    for terms in [&terms[..], &terms[..1], &[]] {
        let want = run(Unit::PORTABLE, terms);
        assert!(want[..32].iter().all(|v| *v != 0.0));
        for unit in Unit::available() {
            let got = run(unit, terms);
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{unit:?}: {worst}");
        }
    }
}

#[test]
fn rounds_to_nearest_even() {
    let bits =
        [(1.0, 0x3f80), (-2.0, 0xc000), (1.0 + 1.0 / 256.0, 0x3f80), (1.0 + 3.0 / 256.0, 0x3f82), (1.004, 0x3f81)];
    for (value, bits) in bits {
        assert_eq!(round(value), bits, "{value}");
    }
    assert_eq!(round(f32::INFINITY), 0x7f80);
    assert_eq!(round(f32::NAN), 0x7fc0);
    assert_eq!(round(f32::MAX), 0x7f80);
}
