//! Products of bf16 matrices summed in f32: the arithmetic under `Precision::Bf16`.
//!
//! Operands lie in *tiles*, the shape in which Intel's AMX multiplies: 16 rows of 32 contracted values ([`pack::rows`])
//! times 16 pairs of contracted values by 16 columns ([`pack::pairs`]), a KiB each. One [`Product`] is a block of 2 × 2
//! tiles of f32 sums, over any list of such pairs of tiles. It runs
//!
//! - on AMX (Sapphire Rapids and later): eight tile registers in hardware, 16 × the arithmetic of AVX-512's f32;
//! - on AVX512-BF16: the same sums by `vdpbf16ps`, twice that of f32;
//! - in tests, in plain Rust, so that the packing around it is tested on any machine.
//!
//! The order of the sums is that of the list: results do not depend on the thread count. They do differ between the
//! two instruction sets in their last bits.

mod amx;
mod avx512;
pub mod pack;
#[cfg(test)]
mod portable;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

/// Rows of a tile of sums, and its columns.
pub const TILE: usize = 16;
/// Contracted values of a tile.
pub const DEPTH: usize = 32;
/// bf16 values of a tile of either operand.
pub const TILE_VALUES: usize = TILE * DEPTH;

/// What multiplies bf16 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// AMX-BF16.
    Amx,
    /// AVX512-BF16.
    Avx512,
    /// Plain Rust, for tests.
    #[cfg(test)]
    Portable,
}

impl Unit {
    /// The units of this machine, the fastest first.
    pub fn available() -> Vec<Unit> {
        let mut units = Vec::new();
        if avx512::is_available() {
            if amx::is_available() {
                units.push(Unit::Amx);
            }
            units.push(Unit::Avx512);
        }
        units
    }

    /// The fastest one; `None` where the machine has none, or where `TALLOW_SIMD` asks for less: `avx512` leaves AMX
    /// out, `avx2` and `portable` leave out both.
    pub fn best() -> Option<Unit> {
        static BEST: OnceLock<Option<Unit>> = OnceLock::new();
        *BEST.get_or_init(|| {
            let allowed = |unit: &Unit| match std::env::var("TALLOW_SIMD").as_deref() {
                Ok("portable" | "avx2") => false,
                Ok("avx512") => *unit != Unit::Amx,
                _ => true,
            };
            Unit::available().into_iter().find(allowed)
        })
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Amx => "AMX-BF16",
            Unit::Avx512 => "AVX512-BF16",
            #[cfg(test)]
            Unit::Portable => "portable",
        }
    }

    /// Makes the unit ready on this thread, until the guard is dropped.
    pub fn begin(self) -> Begun {
        if self == Unit::Amx {
            amx::configure();
        }
        Begun(self)
    }
}

/// A unit that is ready on this thread.
pub struct Begun(Unit);

impl Drop for Begun {
    fn drop(&mut self) {
        if self.0 == Unit::Amx {
            amx::release();
        }
    }
}

/// One term of a product: addresses of two tiles of rows and of two tiles of columns that follow each other.
/// A term stands for `depths` of them: further tiles follow these at once.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Term {
    /// The first tile of each of the two rows of tiles, relative to [`Product::rows`].
    pub rows: [usize; 2],
    /// The first two tiles of columns, relative to [`Product::columns`], in bytes.
    pub columns: usize,
}

/// Sums of 32 × 32: two rows of two tiles.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Product {
    /// Added to every term's rows and columns, in bytes.
    pub rows: usize,
    /// See `rows`.
    pub columns: usize,
    /// Pairs of tiles in each term, 1 or more.
    pub depths: usize,
    /// What the sums begin with, for each row of tiles, and the bytes from one row to the next (0: the same for all).
    pub init: [*const f32; 2],
    /// See `init`.
    pub init_stride: usize,
    /// Where the sums go, and the bytes from one row to the next.
    pub out: [*mut f32; 2],
    /// See `out`.
    pub out_stride: usize,
}

impl Begun {
    /// `out = init + Σ rows · columns`.
    ///
    /// # Safety
    /// Each term's tiles can be read (`depths` of each of the two rows of tiles, `2 · depths` of columns); `init` holds 32
    /// values at each of its 16 rows, `out` room for as many that no other thread touches.
    #[inline]
    pub unsafe fn multiply(&self, product: &Product, terms: &[Term]) {
        // SAFETY: by the contract; a unit is begun only where it is available.
        unsafe {
            match self.0 {
                Unit::Amx => amx::multiply(product, terms),
                Unit::Avx512 => avx512::multiply(product, terms),
                #[cfg(test)]
                Unit::Portable => portable::multiply(product, terms),
            }
        }
    }
}
