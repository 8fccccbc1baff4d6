//! Plain loops compiled for each instruction set: for kernels that the compiler vectorises well by itself.

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for the target's baseline;
/// each call takes [`Isa::best`](super::simd::Isa::best). What the body calls must be `#[inline(always)]`.
///
/// A body may name `M`, the [`MulAdd`] of its instruction set. One that does not gives the same values on all of them.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)?
     ($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($generic: $bound),+>)? ($($arg: $type),*) {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters)]
            fn body<M: $crate::kernels::vectorised::MulAdd $(, $($generic: $bound),+)?> ($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::kernels::simd::Isa;

                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$($generic: $bound),+>)? ($($arg: $type),*) {
                    body::<$crate::kernels::vectorised::Fused $(, $($generic),+)?> ($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512 $(<$($generic: $bound),+>)? ($($arg: $type),*) {
                    body::<$crate::kernels::vectorised::Fused $(, $($generic),+)?> ($($arg),*)
                }
                match Isa::best() {
                    // SAFETY: `best` is one of the sets that this machine has.
                    Isa::Avx512 => return unsafe { avx512 $(::<$($generic),+>)? ($($arg),*) },
                    // SAFETY: as above.
                    Isa::Avx2 => return unsafe { avx2 $(::<$($generic),+>)? ($($arg),*) },
                    _ => {}
                }
            }
            body::<$crate::kernels::vectorised::TwoSteps $(, $($generic),+)?> ($($arg),*)
        }
    };
}

pub(crate) use vectorised;

/// How `a · b + c` is computed: a type, since what an instruction set can do is known when its code is compiled.
pub trait MulAdd {
    /// `a · b + c`.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Rounded once, where there is an instruction for it; without, a slow call.
pub struct Fused;

/// Rounded twice.
pub struct TwoSteps;

impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MulAdd for TwoSteps {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Joins `value` of each place of some rows of one length: four times sixteen partial results, so that none waits for the one
/// before it, then pairs of them. The order depends on the length alone.
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
