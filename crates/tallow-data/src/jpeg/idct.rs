//! The inverse cosine transform of a block, to 8 × 8 pixels or fewer.
//!
//! # Source
//! Loeffler, Ligtenberg, Moschytz 1989, "Practical fast 1-D DCT algorithms with 11 multiplications", in fixed point of 13
//! bits and with two bits more between the passes: libjpeg's "islow" and its reduced transforms, bit for bit.

/// A constant with 13 bits behind the point.
const fn fixed(value: f64) -> i32 {
    (value * 8192.0 + 0.5) as i32
}

/// A product that may wrap around: only damaged data make one so large.
#[inline(always)]
fn times(a: i32, b: i32) -> i32 {
    a.wrapping_mul(b)
}

#[inline(always)]
fn sum(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

#[inline(always)]
fn difference(a: i32, b: i32) -> i32 {
    a.wrapping_sub(b)
}

/// `value / 2^bits`, rounded to the nearest.
#[inline(always)]
fn rounded(value: i32, bits: u32) -> i32 {
    sum(value, 1 << (bits - 1)) >> bits
}

/// Eight values from eight coefficients, `bits` more behind the point than wanted.
#[inline(always)]
fn eight(c: [i32; 8], bits: u32) -> [i32; 8] {
    let z = times(sum(c[2], c[6]), fixed(0.541196100));
    let even2 = difference(z, times(c[6], fixed(1.847759065)));
    let even3 = sum(z, times(c[2], fixed(0.765366865)));
    let even0 = sum(c[0], c[4]) << 13;
    let even1 = difference(c[0], c[4]) << 13;
    let (a0, a3) = (sum(even0, even3), difference(even0, even3));
    let (a1, a2) = (sum(even1, even2), difference(even1, even2));

    let (z1, z2) = (sum(c[7], c[1]), sum(c[5], c[3]));
    let (z3, z4) = (sum(c[7], c[3]), sum(c[5], c[1]));
    let z5 = times(sum(z3, z4), fixed(1.175875602));
    let z1 = times(z1, -fixed(0.899976223));
    let z2 = times(z2, -fixed(2.562915447));
    let z3 = sum(times(z3, -fixed(1.961570560)), z5);
    let z4 = sum(times(z4, -fixed(0.390180644)), z5);
    let b0 = sum(sum(times(c[7], fixed(0.298631336)), z1), z3);
    let b1 = sum(sum(times(c[5], fixed(2.053119869)), z2), z4);
    let b2 = sum(sum(times(c[3], fixed(3.072711026)), z2), z3);
    let b3 = sum(sum(times(c[1], fixed(1.501321110)), z1), z4);
    [
        rounded(sum(a0, b3), bits),
        rounded(sum(a1, b2), bits),
        rounded(sum(a2, b1), bits),
        rounded(sum(a3, b0), bits),
        rounded(difference(a3, b0), bits),
        rounded(difference(a2, b1), bits),
        rounded(difference(a1, b2), bits),
        rounded(difference(a0, b3), bits),
    ]
}

/// Four values from the seven coefficients that count, one bit more behind the point than [`eight`].
#[inline(always)]
fn four(c: [i32; 8], bits: u32) -> [i32; 4] {
    let even = c[0] << 14;
    let even2 = sum(times(c[2], fixed(1.847759065)), times(c[6], -fixed(0.765366865)));
    let (a0, a1) = (sum(even, even2), difference(even, even2));
    let odd0 = sum(
        sum(times(c[7], -fixed(0.211164243)), times(c[5], fixed(1.451774981))),
        sum(times(c[3], -fixed(2.172734803)), times(c[1], fixed(1.061594337))),
    );
    let odd1 = sum(
        sum(times(c[7], -fixed(0.509795579)), times(c[5], -fixed(0.601344887))),
        sum(times(c[3], fixed(0.899976223)), times(c[1], fixed(2.562915447))),
    );
    [
        rounded(sum(a0, odd1), bits + 1),
        rounded(sum(a1, odd0), bits + 1),
        rounded(difference(a1, odd0), bits + 1),
        rounded(difference(a0, odd1), bits + 1),
    ]
}

/// Two values from the five coefficients that count, two bits more behind the point than [`eight`].
#[inline(always)]
fn two(c: [i32; 8], bits: u32) -> [i32; 2] {
    let even = c[0] << 15;
    let odd = sum(
        sum(times(c[7], -fixed(0.720959822)), times(c[5], fixed(0.850430095))),
        sum(times(c[3], -fixed(1.272758580)), times(c[1], fixed(3.624509785))),
    );
    [rounded(sum(even, odd), bits + 2), rounded(difference(even, odd), bits + 2)]
}

/// Bits behind the point that each pass takes away.
const FIRST: u32 = 13 - 2;
const SECOND: u32 = 13 + 2 + 3;

#[inline(always)]
fn pixel(value: i32) -> u8 {
    value.wrapping_add(128).clamp(0, 255) as u8
}

/// The pixels of a block, `side` (8, 4, 2 or 1) a row, into `out`, whose rows lie `stride` apart. `last` is the place in the
/// file of the last coefficient that is not 0.
#[inline(always)]
pub(super) fn transform(block: &[i32; 64], last: usize, side: usize, out: &mut [u8], stride: usize) {
    if last == 0 || side == 1 {
        let value = pixel(rounded(block[0], 3));
        for row in out.chunks_mut(stride).take(side) {
            row[..side].fill(value);
        }
        return;
    }
    match side {
        8 => eight_by_eight(block, out, stride),
        4 => smaller(block, out, stride, four),
        _ => smaller(block, out, stride, two),
    }
}

#[inline(always)]
fn eight_by_eight(block: &[i32; 64], out: &mut [u8], stride: usize) {
    // Columns, all eight at once; then the rows, again all at once, from their places side by side.
    let mut columns = [0; 64];
    pass(block, FIRST, &mut columns);
    let mut turned = [0; 64];
    for y in 0..8 {
        for x in 0..8 {
            turned[8 * x + y] = columns[8 * y + x];
        }
    }
    pass(&turned, SECOND, &mut columns);
    let mut pixels = [0u8; 64];
    for (pixel, value) in pixels.iter_mut().zip(&columns) {
        *pixel = value.wrapping_add(128).clamp(0, 255) as u8;
    }
    for (row, line) in out.chunks_mut(stride).zip(transposed(&pixels)) {
        row[..8].copy_from_slice(&line.to_le_bytes());
    }
}

/// [`eight`] of every column.
#[inline(always)]
fn pass(block: &[i32; 64], bits: u32, out: &mut [i32; 64]) {
    for x in 0..8 {
        let c = [
            block[x],
            block[8 + x],
            block[16 + x],
            block[24 + x],
            block[32 + x],
            block[40 + x],
            block[48 + x],
            block[56 + x],
        ];
        let values = eight(c, bits);
        for y in 0..8 {
            out[8 * y + x] = values[y];
        }
    }
}

/// Eight rows of eight bytes from eight columns.
#[inline(always)]
fn transposed(columns: &[u8; 64]) -> [u64; 8] {
    let columns = columns.as_chunks::<8>().0;
    let mut rows: [u64; 8] = std::array::from_fn(|x| u64::from_le_bytes(columns[x]));
    // Squares of 4 × 4 change places, then those of 2 × 2 in them, then bytes.
    for (distance, bits, mask) in
        [(4, 32, 0x0000_0000_ffff_ffff), (2, 16, 0x0000_ffff_0000_ffff), (1, 8, 0x00ff_00ff_00ff_00ff)]
    {
        for i in 0..8 {
            if i & distance == 0 {
                let swapped = ((rows[i] >> bits) ^ rows[i + distance]) & mask;
                rows[i] ^= swapped << bits;
                rows[i + distance] ^= swapped;
            }
        }
    }
    rows
}

#[inline(always)]
fn smaller<const N: usize>(
    block: &[i32; 64],
    out: &mut [u8],
    stride: usize,
    transform: impl Fn([i32; 8], u32) -> [i32; N],
) {
    let mut columns = [[0; 8]; N];
    for x in 0..8 {
        let values = transform(std::array::from_fn(|y| block[8 * y + x]), FIRST);
        for y in 0..N {
            columns[y][x] = values[y];
        }
    }
    for (row, coefficients) in out.chunks_mut(stride).zip(columns) {
        row[..N].copy_from_slice(&transform(coefficients, SECOND).map(pixel));
    }
}
