//! The vectors of AVX2 and AVX-512, which of them the machine has, and functions compiled for them.

use std::arch::x86_64::*;

use crate::cpu::loops::MulAdd;
use crate::cpu::simd::{Kernel, Simd};

/// Instruction sets, from the least to the most capable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// AVX2 with FMA: eight lanes.
    Avx2,
    /// AVX-512F with VL, BW and DQ: sixteen lanes.
    Avx512,
}

impl Level {
    /// The sets that this machine has, the least first.
    pub fn available() -> Vec<Level> {
        let mut levels = Vec::new();
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Level::Avx2);
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            if avx512 {
                levels.push(Level::Avx512);
            }
        }
        levels
    }

    /// The best set that this machine has, up to the one named `limit`.
    pub fn best(limit: Option<&str>) -> Option<Level> {
        let limit = if limit == Some("avx2") { Level::Avx2 } else { Level::Avx512 };
        Level::available().into_iter().rfind(|level| *level <= limit)
    }

    /// Values in a vector.
    pub fn lanes(self) -> usize {
        match self {
            Level::Avx2 => 8,
            Level::Avx512 => 16,
        }
    }

    /// Whether the registers hold a tile of sums that is four vectors wide.
    pub fn holds_tiles_of_four_vectors(self) -> bool {
        self == Level::Avx512
    }
}

/// Rounds `a · b + c` once, by one instruction of both levels.
pub struct Fused;

impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Runs a kernel compiled for an instruction set.
///
/// # Safety
/// The machine has the set.
#[inline]
pub unsafe fn run<K: Kernel>(level: Level, kernel: K) -> K::Output {
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
    // SAFETY: by the contract.
    unsafe {
        match level {
            Level::Avx512 => avx512(kernel),
            Level::Avx2 => avx2(kernel),
        }
    }
}

/// Part of [`vectorised`](crate::cpu::isa::vectorised): compiles the function `body` of the place for each level, and
/// returns from the place with the result of `$level`, which must come from an `Isa`.
macro_rules! call_best {
    ($level:expr, [$($generic:ident: $bound:path),*] ($($arg:ident: $type:ty),*)) => {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<$($generic: $bound),*>($($arg: $type),*) {
            body::<$crate::cpu::x86::Fused, $($generic),*>($($arg),*)
        }
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn avx512<$($generic: $bound),*>($($arg: $type),*) {
            body::<$crate::cpu::x86::Fused, $($generic),*>($($arg),*)
        }
        match $level {
            // SAFETY: an `Isa` holds only detected levels.
            Some($crate::cpu::x86::Level::Avx512) => return unsafe { avx512::<$($generic),*>($($arg),*) },
            // SAFETY: as above.
            Some($crate::cpu::x86::Level::Avx2) => return unsafe { avx2::<$($generic),*>($($arg),*) },
            None => {}
        }
    };
}
pub(crate) use call_best;

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
