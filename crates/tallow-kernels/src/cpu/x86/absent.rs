//! The interface of this folder on other architectures: no instruction set and no unit, as types without values.

use crate::cpu::bf16::product::{Product, Rows, Term};
use crate::cpu::simd::Kernel;

/// No instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {}

impl Level {
    /// None.
    #[cfg(test)]
    pub fn available() -> Vec<Level> {
        Vec::new()
    }

    /// None.
    pub fn best(_limit: Option<&str>) -> Option<Level> {
        None
    }

    /// Never called.
    pub fn lanes(self) -> usize {
        match self {}
    }

    /// Never called.
    pub fn holds_tiles_of_four_vectors(self) -> bool {
        match self {}
    }
}

/// Never called.
///
/// # Safety
/// None.
pub unsafe fn run<K: Kernel>(level: Level, _kernel: K) -> K::Output {
    match level {}
}

/// Part of [`vectorised`](crate::cpu::isa::vectorised): leaves the portable body.
macro_rules! call_best {
    ($level:expr, $($anything:tt)*) => {
        if let Some(level) = $level {
            match level {}
        }
    };
}
pub(crate) use call_best;

/// No unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bf16Unit {}

impl Bf16Unit {
    /// None.
    pub fn available() -> Vec<Bf16Unit> {
        Vec::new()
    }

    /// Never called.
    pub fn allowed(self, _limit: Option<&str>) -> bool {
        match self {}
    }

    /// Never called.
    pub fn name(self) -> &'static str {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn begin(self) {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn end(self) {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn multiply(self, _product: &Product, _terms: &[Term]) {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn pack_rows(self, _rows: Rows, _out: *mut u16) {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn pack_columns(self, _rows: Rows, _out: *mut u16) {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn pack_pairs(self, _rows: Rows, _out: *mut u16) {
        match self {}
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    pub unsafe fn pack_transposed(self, _rows: Rows, _out: *mut u16) {
        match self {}
    }
}
