//! Vectors of f32 of the widest kind this machine has, chosen at run time.
//!
//! A kernel is written once, as a [`Kernel`] whose `run` is generic over [`Simd`]. [`run_on`](super::isa::run_on) compiles it for each
//! instruction set of the architecture, and in plain Rust. Everything it calls must be `#[inline(always)]`, or it is
//! compiled without the set's instructions.

use super::loops::{MulAdd, TwoSteps};

/// Lanes of the widest vector.
pub const MAX_LANES: usize = 16;

/// Operations on one vector of f32.
///
/// # Safety
/// All methods require the instruction set to be available, which an [`Isa`](super::isa::Isa) proves; pointers must
/// be valid for `LANES` values (`partial` ones for `len < LANES`).
pub trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Rows of a register tile that is two vectors wide: as many as the register file holds. One of four vectors has
    /// half.
    const ROWS: usize;
    /// Steps of a product's innermost loop that are written out: each costs a counter and a branch less.
    const UNROLL: usize;
    /// The vector.
    type V: Copy;
    /// The multiplication and addition of single values in code around the vectors.
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

/// `N` lanes in plain Rust: the portable path, and with 16 lanes the stand-in that tests the widest shape of a kernel
/// on any machine.
#[derive(Clone, Copy)]
pub struct Portable<const N: usize>;

impl<const N: usize> Simd for Portable<N> {
    const LANES: usize = N;
    // Most processors have at least sixteen registers of four lanes: two rows of two vectors fill half of them.
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

/// Rows of the next register tile, `vectors` (2 or 4) wide, where `left` rows remain: of the few heights that are
/// compiled, the largest that fits.
#[inline(always)]
pub fn tile_height<S: Simd>(vectors: usize, left: usize) -> usize {
    let heights = [12, 6, 4, 2, 1];
    heights.into_iter().find(|&h| h * vectors <= 2 * S::ROWS && h <= left).unwrap_or(1)
}

/// Evaluates an expression in which `$h` and `$v` are constants: the height and the number of vectors of a register
/// tile, which are known at run time only. Each combination is compiled, but for those that the registers of `$simd` do
/// not hold.
macro_rules! with_tile {
    ($simd:ident, $height:expr, $vectors:expr, |$h:ident, $v:ident| $call:expr) => {
        match ($height, $vectors) {
            (12, 2) if 12 <= $simd::ROWS => $crate::cpu::simd::with_tile!(@ $h = 12, $v = 2, $call),
            (6, 2) if 6 <= $simd::ROWS => $crate::cpu::simd::with_tile!(@ $h = 6, $v = 2, $call),
            (4, 2) if 4 <= $simd::ROWS => $crate::cpu::simd::with_tile!(@ $h = 4, $v = 2, $call),
            (2, 2) => $crate::cpu::simd::with_tile!(@ $h = 2, $v = 2, $call),
            (1, 2) => $crate::cpu::simd::with_tile!(@ $h = 1, $v = 2, $call),
            (6, 4) if 12 <= $simd::ROWS => $crate::cpu::simd::with_tile!(@ $h = 6, $v = 4, $call),
            (4, 4) if 12 <= $simd::ROWS => $crate::cpu::simd::with_tile!(@ $h = 4, $v = 4, $call),
            (2, 4) if 12 <= $simd::ROWS => $crate::cpu::simd::with_tile!(@ $h = 2, $v = 4, $call),
            (1, 4) => $crate::cpu::simd::with_tile!(@ $h = 1, $v = 4, $call),
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
    /// The type of the result.
    type Output;
    /// The computation; mark the implementation `#[inline(always)]`.
    ///
    /// # Safety
    /// The instruction set of `S` is available.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}
