//! Products of bf16 matrices summed in f32: the arithmetic under [`Precision::Bf16`].
//!
//! Operands lie in *tiles*, the shape in which a matrix unit multiplies: 16 rows of 32 contracted values
//! ([`pack::rows`]) times 16 pairs of contracted values by 16 columns ([`pack::pairs`]), a KiB each. One [`Product`](product::Product) is
//! a block of 2 × 2 tiles of f32 sums, over any list of such pairs of tiles. It runs on the fastest [`Unit`] of the
//! machine; in tests also in plain Rust, so that the packing around it is tested on any machine.
//!
//! The order of the sums is that of the list: results do not depend on the thread count. Two units differ in the last
//! bits.

pub mod pack;
#[cfg(test)]
mod portable;
pub mod product;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::OnceLock;

use product::{Product, Term};

use super::{arch, isa};

/// The number format of the factors of a product. Sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 bits of fraction.
    #[default]
    F32,
    /// Both factors of each product are rounded to bf16, 8 bits of fraction; the products are exact. Needs a processor
    /// that multiplies bf16 ([`bf16_unit`]), and is used only where it is faster than f32.
    Bf16,
}

/// The unit that multiplies bf16 on this machine, `None` where there is none or where `TALLOW_SIMD` excludes it.
pub fn bf16_unit() -> Option<&'static str> {
    Unit::best().map(Unit::name)
}

/// A unit of this machine that multiplies bf16. A value exists only for a unit that was detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A detected unit of the architecture.
    Native(arch::Bf16Unit),
    /// Plain Rust, for tests.
    #[cfg(test)]
    Portable,
}

impl Unit {
    /// The product in plain Rust.
    #[cfg(test)]
    pub const PORTABLE: Unit = Unit(Kind::Portable);

    /// The units of this machine, the fastest first.
    pub fn available() -> Vec<Unit> {
        arch::Bf16Unit::available().into_iter().map(|unit| Unit(Kind::Native(unit))).collect()
    }

    /// The fastest one that `TALLOW_SIMD` allows.
    pub fn best() -> Option<Unit> {
        static BEST: OnceLock<Option<Unit>> = OnceLock::new();
        *BEST.get_or_init(|| {
            let limit = isa::limit();
            let allowed =
                |unit: &Unit| limit != Some("portable") && unit.native().is_some_and(|unit| unit.allowed(limit));
            Unit::available().into_iter().find(allowed)
        })
    }

    /// The unit of the architecture, if this is one.
    #[inline]
    pub fn native(self) -> Option<arch::Bf16Unit> {
        match self.0 {
            Kind::Native(unit) => Some(unit),
            #[cfg(test)]
            Kind::Portable => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Native(unit) => unit.name(),
            #[cfg(test)]
            Kind::Portable => "portable",
        }
    }

    /// Prepares the unit on this thread, until the guard is dropped.
    pub fn begin(self) -> Ready {
        if let Some(unit) = self.native() {
            // SAFETY: a `Unit` holds only detected units.
            unsafe { unit.begin() };
        }
        Ready { unit: self, not_send: PhantomData }
    }
}

/// A unit that is prepared on this thread.
pub struct Ready {
    unit: Unit,
    not_send: PhantomData<*const ()>,
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(unit) = self.unit.native() {
            // SAFETY: a `Unit` holds only detected units.
            unsafe { unit.end() };
        }
    }
}

impl Ready {
    /// `out = init + Σ rows · columns`.
    ///
    /// # Safety
    /// Each term's tiles can be read (`depths` of each of the two rows of tiles, `2 · depths` of columns); `init` holds
    /// 32 values at each of its 16 rows, `out` room for as many that no other thread touches.
    #[inline]
    pub unsafe fn multiply(&self, product: &Product, terms: &[Term]) {
        // SAFETY: by the contract; the unit was detected, and begun on this thread.
        unsafe {
            match self.unit.0 {
                Kind::Native(unit) => unit.multiply(product, terms),
                #[cfg(test)]
                Kind::Portable => portable::multiply(product, terms),
            }
        }
    }
}
