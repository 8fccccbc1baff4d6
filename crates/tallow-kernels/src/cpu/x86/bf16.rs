//! The units that multiply bf16.

use super::{amx, avx512_bf16, pack};
use crate::cpu::bf16::product::{Product, Rows, Term};

/// A unit that multiplies bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bf16Unit {
    /// AMX-BF16.
    Amx,
    /// AVX512-BF16.
    Avx512,
}

impl Bf16Unit {
    /// The units of this machine, the fastest first.
    pub fn available() -> Vec<Bf16Unit> {
        let mut units = Vec::new();
        // Packing needs AVX-512 with either.
        if avx512_bf16::is_available() {
            if amx::is_available() {
                units.push(Bf16Unit::Amx);
            }
            units.push(Bf16Unit::Avx512);
        }
        units
    }

    /// Whether the instruction set named `limit` includes the unit: `avx512` leaves AMX out, `avx2` leaves out both.
    pub fn allowed(self, limit: Option<&str>) -> bool {
        match limit {
            Some("avx2") => false,
            Some("avx512") => self != Bf16Unit::Amx,
            _ => true,
        }
    }

    /// Its name in Intel's manuals.
    pub fn name(self) -> &'static str {
        match self {
            Bf16Unit::Amx => "AMX-BF16",
            Bf16Unit::Avx512 => "AVX512-BF16",
        }
    }

    /// Prepares this thread for [`multiply`](Self::multiply).
    ///
    /// # Safety
    /// The machine has the unit.
    pub unsafe fn begin(self) {
        if self == Bf16Unit::Amx {
            // SAFETY: by the contract.
            unsafe { amx::configure() }
        }
    }

    /// Undoes [`begin`](Self::begin).
    ///
    /// # Safety
    /// The machine has the unit.
    pub unsafe fn end(self) {
        if self == Bf16Unit::Amx {
            // SAFETY: by the contract.
            unsafe { amx::release() }
        }
    }

    /// See [`Ready::multiply`](crate::cpu::bf16::Ready::multiply).
    ///
    /// # Safety
    /// That method's; [`begin`](Self::begin) was called on this thread.
    #[inline]
    pub unsafe fn multiply(self, product: &Product, terms: &[Term]) {
        // SAFETY: by the contract.
        unsafe {
            match self {
                Bf16Unit::Amx => amx::multiply(product, terms),
                Bf16Unit::Avx512 => avx512_bf16::multiply(product, terms),
            }
        }
    }

    /// See [`pack::rows`](crate::cpu::bf16::pack::rows).
    ///
    /// # Safety
    /// That function's; the machine has the unit.
    #[inline]
    pub unsafe fn pack_rows(self, rows: Rows, out: *mut u16) {
        // SAFETY: by the contract; both units come with the AVX-512 that packs.
        unsafe { pack::rows(rows, out) }
    }

    /// See [`pack::columns`](crate::cpu::bf16::pack::columns).
    ///
    /// # Safety
    /// That function's; the machine has the unit.
    #[inline]
    pub unsafe fn pack_columns(self, rows: Rows, out: *mut u16) {
        // SAFETY: by the contract; both units come with the AVX-512 that packs.
        unsafe { pack::columns(rows, out) }
    }

    /// See [`pack::pairs`](crate::cpu::bf16::pack::pairs).
    ///
    /// # Safety
    /// That function's; the machine has the unit.
    #[inline]
    pub unsafe fn pack_pairs(self, rows: Rows, out: *mut u16) {
        // SAFETY: by the contract; both units come with the AVX-512 that packs.
        unsafe { pack::pairs(rows, out) }
    }

    /// See [`pack::transposed`](crate::cpu::bf16::pack::transposed).
    ///
    /// # Safety
    /// That function's; the machine has the unit.
    #[inline]
    pub unsafe fn pack_transposed(self, rows: Rows, out: *mut u16) {
        // SAFETY: by the contract; both units come with the AVX-512 that packs.
        unsafe { pack::transposed(rows, out) }
    }
}
