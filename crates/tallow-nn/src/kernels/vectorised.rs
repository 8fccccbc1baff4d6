//! Plain loops compiled for each instruction set: for kernels that the compiler vectorises well by itself.

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for the target's baseline;
/// each call takes [`Isa::best`](super::simd::Isa::best). What the body calls must be `#[inline(always)]`.
///
/// The bodies use no fused multiply-add, so that all instruction sets give the same values.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)?
     ($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($generic: $bound),+>)? ($($arg: $type),*) {
            #[inline(always)]
            fn body $(<$($generic: $bound),+>)? ($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::kernels::simd::Isa;

                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$($generic: $bound),+>)? ($($arg: $type),*) {
                    body $(::<$($generic),+>)? ($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512 $(<$($generic: $bound),+>)? ($($arg: $type),*) {
                    body $(::<$($generic),+>)? ($($arg),*)
                }
                match Isa::best() {
                    // SAFETY: `best` is one of the sets that this machine has.
                    Isa::Avx512 => return unsafe { avx512 $(::<$($generic),+>)? ($($arg),*) },
                    // SAFETY: as above.
                    Isa::Avx2 => return unsafe { avx2 $(::<$($generic),+>)? ($($arg),*) },
                    _ => {}
                }
            }
            body $(::<$($generic),+>)? ($($arg),*)
        }
    };
}

pub(crate) use vectorised;

/// Joins `value` of each place of some rows of one length: sixteen partial results, then pairs of them.
/// The order depends on the length alone.
#[inline(always)]
pub(crate) fn reduce<const ROWS: usize>(
    rows: [&[f32]; ROWS],
    start: f32,
    value: impl Fn([f32; ROWS]) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    const LANES: usize = 16;
    let len = rows[0].len();
    let mut lanes = [start; LANES];
    let mut at = 0;
    while at + LANES <= len {
        let chunk = rows.map(|row| &row[at..at + LANES]);
        for i in 0..LANES {
            lanes[i] = join(lanes[i], value(chunk.map(|row| row[i])));
        }
        at += LANES;
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

/// The sum of `value` over the places of some rows.
#[inline(always)]
pub(crate) fn sum<const ROWS: usize>(rows: [&[f32]; ROWS], value: impl Fn([f32; ROWS]) -> f32) -> f32 {
    reduce(rows, 0.0, value, |a, b| a + b)
}

/// `a` or `b` by bits: a plain `if` around a stored value turns into a masked store, which is slow.
#[inline(always)]
pub(crate) fn select(first: bool, a: u32, b: u32) -> u32 {
    let mask = u32::from(first).wrapping_neg();
    (a & mask) | (b & !mask)
}
