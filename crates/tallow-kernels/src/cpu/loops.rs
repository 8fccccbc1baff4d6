//! Building blocks of loops that the compiler vectorises by itself: see [`vectorised`](super::isa::vectorised).

/// The computation of `a · b + c`: a type, because code for each instruction set is compiled apart.
pub trait MulAdd {
    /// `a · b + c`.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Rounds the product, then the sum.
pub struct TwoSteps;

impl MulAdd for TwoSteps {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Reduces `value` over the positions of rows of one length. Four times sixteen partial results are independent of each
/// other, so that none waits for the one before it; they are then joined in pairs. The order depends on the length
/// alone.
#[inline(always)]
pub(crate) fn reduce<const ROWS: usize>(
    rows: [&[f32]; ROWS],
    start: f32,
    value: impl Fn([f32; ROWS]) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    const LANES: usize = 16;
    const CHAINS: usize = 4;
    let len = rows[0].len();
    let mut chains = [[start; LANES]; CHAINS];
    let mut at = 0;
    while at + CHAINS * LANES <= len {
        for (j, lanes) in chains.iter_mut().enumerate() {
            let chunk = rows.map(|row| &row[at + j * LANES..at + (j + 1) * LANES]);
            for i in 0..LANES {
                lanes[i] = join(lanes[i], value(chunk.map(|row| row[i])));
            }
        }
        at += CHAINS * LANES;
    }
    let [mut lanes, b, c, d] = chains;
    while at + LANES <= len {
        let chunk = rows.map(|row| &row[at..at + LANES]);
        for i in 0..LANES {
            lanes[i] = join(lanes[i], value(chunk.map(|row| row[i])));
        }
        at += LANES;
    }
    for i in 0..LANES {
        lanes[i] = join(join(lanes[i], b[i]), join(c[i], d[i]));
    }
    let mut tail = start;
    for i in at..len {
        tail = join(tail, value(rows.map(|row| row[i])));
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    join(lanes[0], tail)
}

/// The sum of `value` over the positions of rows of one length.
#[inline(always)]
pub(crate) fn sum<const ROWS: usize>(rows: [&[f32]; ROWS], value: impl Fn([f32; ROWS]) -> f32) -> f32 {
    reduce(rows, 0.0, value, |a, b| a + b)
}

/// `a` if `first`, else `b`, chosen by bit operations: a plain `if` around a stored value becomes a masked store, which
/// is slow.
#[inline(always)]
pub(crate) fn select(first: bool, a: u32, b: u32) -> u32 {
    let mask = u32::from(first).wrapping_neg();
    (a & mask) | (b & !mask)
}
