//! Vectors of f32 of the widest kind this machine has, chosen at run time.
//!
//! A kernel is written once, as a [`Kernel`] whose `run` is generic over [`Simd`], and [`run`]
//! compiles it for AVX-512, for AVX2 with FMA, and for whatever the target has at the least.
//! Everything it calls must be `#[inline(always)]`, or it falls out of the instruction set.
//! `TALLOW_SIMD=portable|avx2|avx512` overrides the choice downwards, for tests and comparisons.

use std::sync::OnceLock;

use super::vectorised::{MulAdd, TwoSteps};

/// Lanes of the widest vector.
pub const MAX_LANES: usize = 16;

/// Instruction sets, from the least to the most capable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Sixteen portable lanes: AVX-512's width on any machine, for tests.
    #[cfg(test)]
    Wide,
    /// What the compiler's target guarantees: eight lanes.
    Portable,
    /// AVX2 with FMA: eight lanes.
    Avx2,
    /// AVX-512F (with VL, BW, DQ): sixteen lanes.
    Avx512,
}

impl Isa {
    /// The instruction sets this machine can run, least first.
    pub fn available() -> Vec<Isa> {
        let mut sets = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Isa::Avx2);
                let avx512 = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq");
                if avx512 {
                    sets.push(Isa::Avx512);
                }
            }
        }
        sets
    }

    /// Every width a kernel can take here: what tests run through.
    #[cfg(test)]
    pub fn testable() -> Vec<Isa> {
        [vec![Isa::Wide], Isa::available()].concat()
    }

    /// Values in a vector ([`Simd::LANES`]).
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(test)]
            Isa::Wide => 16,
            Isa::Avx512 => 16,
            Isa::Portable | Isa::Avx2 => 8,
        }
    }

    /// Columns of a register tile for a product of so many columns: two vectors, or four where the registers hold them and no
    /// more lanes stay empty. Of the same 24 sums, 6 rows × 4 vectors need 10 loads and 12 × 2 need 14.
    pub fn panel_width(self, columns: usize) -> usize {
        let (two, four) = (2 * self.lanes(), 4 * self.lanes());
        let registers = match self {
            #[cfg(test)]
            Isa::Wide => true,
            Isa::Avx512 => true,
            Isa::Portable | Isa::Avx2 => false,
        };
        if registers && columns.next_multiple_of(four) == columns.next_multiple_of(two) { four } else { two }
    }

    /// The best available one, or what `TALLOW_SIMD` asks for if that is less.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let limit = match std::env::var("TALLOW_SIMD").as_deref() {
                Ok("portable") => Isa::Portable,
                Ok("avx2") => Isa::Avx2,
                _ => Isa::Avx512,
            };
            Isa::available().into_iter().rfind(|isa| *isa <= limit).unwrap_or(Isa::Portable)
        })
    }
}

/// Operations on one vector of f32.
///
/// # Safety
/// All methods require the instruction set to be available, which [`run_on`] checks; pointers must
/// be valid for `LANES` values (`partial` ones for `len < LANES`).
pub trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Rows of a register tile that is two vectors wide: as many as the register file holds. One of four vectors has half.
    const ROWS: usize;
    /// Steps of a product's innermost loop that are written out: each costs a counter and a branch less.
    const UNROLL: usize;
    /// The vector.
    type V: Copy;
    /// How single values are multiplied and added in code around the vectors.
    type Scalar: MulAdd;
    /// The same value in every lane.
    ///
    /// # Safety
    /// The trait's.
    unsafe fn splat(value: f32) -> Self::V;
    /// `LANES` values from memory.
    ///
    /// # Safety
    /// The trait's.
    unsafe fn load(from: *const f32) -> Self::V;
    /// `LANES` values to memory.
    ///
    /// # Safety
    /// The trait's.
    unsafe fn store(to: *mut f32, v: Self::V);
    /// `a · b + c`, rounded once where the machine has FMA.
    ///
    /// # Safety
    /// The trait's.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    ///
    /// # Safety
    /// The trait's.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;

    /// Asks for the cache line at an address, which need not be valid; nothing where that does not pay.
    #[inline(always)]
    fn prefetch(_at: *const f32) {}

    /// Loads `len ≤ LANES` values, zeros after them.
    ///
    /// # Safety
    /// `from` is valid for `len` values.
    #[inline(always)]
    unsafe fn load_partial(from: *const f32, len: usize) -> Self::V {
        let mut lanes = [0f32; MAX_LANES];
        // SAFETY: LANES ≤ MAX_LANES, and the caller's pointer holds `len` values.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), len);
            Self::load(lanes.as_ptr())
        }
    }

    /// Stores the first `len ≤ LANES` values.
    ///
    /// # Safety
    /// `to` is valid for `len` values.
    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, v: Self::V, len: usize) {
        let mut lanes = [0f32; MAX_LANES];
        // SAFETY: LANES ≤ MAX_LANES, and the caller's pointer holds `len` values.
        unsafe {
            Self::store(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, len);
        }
    }
}

/// `N` lanes in plain Rust: the portable path, and with 16 lanes the stand-in that tests the
/// AVX-512 shape of a kernel on any machine.
#[derive(Clone, Copy)]
pub struct Portable<const N: usize>;

impl<const N: usize> Simd for Portable<N> {
    const LANES: usize = N;
    // SSE2 has sixteen registers of four lanes: two rows of two vectors fill half of them.
    const ROWS: usize = 2;
    const UNROLL: usize = 1;
    type V = [f32; N];
    type Scalar = TwoSteps;
    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; N] {
        [value; N]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; N] {
        // SAFETY: the caller's pointer is valid for N values; arrays of f32 have its alignment.
        unsafe { from.cast::<[f32; N]>().read() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: [f32; N]) {
        // SAFETY: as in `load`.
        unsafe { to.cast::<[f32; N]>().write(v) }
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn add(a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] + b[i])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use crate::kernels::vectorised::Fused;
    use std::arch::x86_64::*;

    /// Implements [`Simd`] by intrinsics of one width.
    macro_rules! intrinsics {
        ($(#[$doc:meta])* $name:ident, $v:ty, $lanes:literal, $rows:literal, $unroll:literal, $prefetch:literal,
         $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident) => {
            $(#[$doc])*
            #[derive(Clone, Copy)]
            pub struct $name;
            // SAFETY (each block below): the trait's contract is that of the intrinsic.
            impl Simd for $name {
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;
                const UNROLL: usize = $unroll;
                type V = $v;
                type Scalar = Fused;
                #[inline(always)]
                unsafe fn splat(value: f32) -> $v {
                    // SAFETY: the instruction set is available.
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> $v {
                    // SAFETY: available, and the pointer is valid for LANES values.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(to: *mut f32, v: $v) {
                    // SAFETY: available, and the pointer is valid for LANES values.
                    unsafe { $store(to, v) }
                }
                #[inline(always)]
                unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
                    // SAFETY: available.
                    unsafe { $fma(a, b, c) }
                }
                #[inline(always)]
                unsafe fn add(a: $v, b: $v) -> $v {
                    // SAFETY: available.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                fn prefetch(at: *const f32) {
                    if $prefetch {
                        // SAFETY: every x86-64 has it, and it faults on no address.
                        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
                    }
                }
            }
        };
    }

    intrinsics!(
        /// AVX2 with FMA. It does not prefetch: the hardware keeps up with a run of weights, and beside 12 multiplications
        /// two more instructions a step cost a tenth.
        Avx2, __m256, 8, 6, 4, false,
        _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_add_ps
    );
    intrinsics!(
        /// AVX-512.
        Avx512, __m512, 16, 12, 1, true,
        _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_add_ps
    );
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// Rows of the next register tile, `vectors` (2 or 4) wide, where `left` rows remain: of the few heights that are compiled, the
/// largest that fits.
#[inline(always)]
pub fn tile_height<S: Simd>(vectors: usize, left: usize) -> usize {
    let heights = [12, 6, 4, 2, 1];
    heights.into_iter().find(|&h| h * vectors <= 2 * S::ROWS && h <= left).unwrap_or(1)
}

/// Evaluates an expression in which `$h` and `$v` are constants: the height and the number of vectors of a register tile, which are
/// known at run time only. Each combination is compiled, but for those that the registers of `$simd` do not hold.
macro_rules! with_tile {
    ($simd:ident, $height:expr, $vectors:expr, |$h:ident, $v:ident| $call:expr) => {
        match ($height, $vectors) {
            (12, 2) if 12 <= $simd::ROWS => $crate::kernels::simd::with_tile!(@ $h = 12, $v = 2, $call),
            (6, 2) if 6 <= $simd::ROWS => $crate::kernels::simd::with_tile!(@ $h = 6, $v = 2, $call),
            (4, 2) if 4 <= $simd::ROWS => $crate::kernels::simd::with_tile!(@ $h = 4, $v = 2, $call),
            (2, 2) => $crate::kernels::simd::with_tile!(@ $h = 2, $v = 2, $call),
            (1, 2) => $crate::kernels::simd::with_tile!(@ $h = 1, $v = 2, $call),
            (6, 4) if 12 <= $simd::ROWS => $crate::kernels::simd::with_tile!(@ $h = 6, $v = 4, $call),
            (4, 4) if 12 <= $simd::ROWS => $crate::kernels::simd::with_tile!(@ $h = 4, $v = 4, $call),
            (2, 4) if 12 <= $simd::ROWS => $crate::kernels::simd::with_tile!(@ $h = 2, $v = 4, $call),
            (1, 4) => $crate::kernels::simd::with_tile!(@ $h = 1, $v = 4, $call),
            _ => unreachable!("a height of tile_height"),
        }
    };
    (@ $h:ident = $height:literal, $v:ident = $vectors:literal, $call:expr) => {{
        const $h: usize = $height;
        const $v: usize = $vectors;
        $call
    }};
}
pub(crate) use with_tile;

/// A computation that is compiled once for each instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The computation; mark the implementation `#[inline(always)]`.
    ///
    /// # Safety
    /// The instruction set of `S` is available.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Runs a kernel on the best instruction set.
#[inline]
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    run_on(Isa::best(), kernel)
}

/// Runs a kernel on a given instruction set; on an unavailable one, on the portable path.
#[inline]
pub fn run_on<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: this function requires what Avx2 requires.
            unsafe { kernel.run::<Avx2>() }
        }
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: this function requires what Avx512 requires.
            unsafe { kernel.run::<Avx512>() }
        }
        match isa {
            // SAFETY: `best` and the tests take `isa` from `available`.
            Isa::Avx512 => return unsafe { avx512(kernel) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { avx2(kernel) },
            _ => {}
        }
    }
    #[cfg(test)]
    if isa == Isa::Wide {
        // SAFETY: the portable paths need nothing.
        return unsafe { kernel.run::<Portable<16>>() };
    }
    let _ = isa;
    // SAFETY: as above.
    unsafe { kernel.run::<Portable<8>>() }
}
