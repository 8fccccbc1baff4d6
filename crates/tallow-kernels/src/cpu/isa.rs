//! The instruction set that kernels run on, chosen at run time.

use std::sync::OnceLock;

use super::arch;
use super::simd::{Kernel, Portable};

/// An instruction set that this machine has. A value exists only for a set that was detected: to hold one is the proof
/// that code compiled for it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Sixteen lanes in plain Rust: the widest vectors on any machine, for tests.
    #[cfg(test)]
    Wide,
    /// Eight lanes in plain Rust: what the compiler's target guarantees.
    Portable,
    /// A set of the architecture that was detected.
    Native(arch::Level),
}

impl Isa {
    /// Every width that a kernel can take here: what tests run through.
    #[cfg(test)]
    pub fn testable() -> Vec<Isa> {
        let native = arch::Level::available().into_iter().map(Set::Native);
        [Set::Wide, Set::Portable].into_iter().chain(native).map(Isa).collect()
    }

    /// The best one, or what `TALLOW_SIMD` asks for if that is less.
    #[inline]
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            Isa(match limit() {
                Some("portable") => Set::Portable,
                limit => arch::Level::best(limit).map_or(Set::Portable, Set::Native),
            })
        })
    }

    /// The detected set of the architecture, if this is one.
    #[inline]
    pub fn native(self) -> Option<arch::Level> {
        match self.0 {
            Set::Native(level) => Some(level),
            _ => None,
        }
    }

    /// Values in a vector ([`Simd::LANES`]).
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(test)]
            Set::Wide => 16,
            Set::Portable => 8,
            Set::Native(level) => level.lanes(),
        }
    }

    /// Columns of a register tile for a product of so many columns: two vectors, or four where the registers hold them
    /// and no more lanes stay empty. Of the same 24 sums, 6 rows × 4 vectors need 10 loads and 12 × 2 need 14.
    pub fn panel_width(self, columns: usize) -> usize {
        let (two, four) = (2 * self.lanes(), 4 * self.lanes());
        let holds_four = match self.0 {
            #[cfg(test)]
            Set::Wide => true,
            Set::Portable => false,
            Set::Native(level) => level.holds_tiles_of_four_vectors(),
        };
        if holds_four && columns.next_multiple_of(four) == columns.next_multiple_of(two) { four } else { two }
    }
}

/// The instruction set that `TALLOW_SIMD` names.
pub fn limit() -> Option<&'static str> {
    static LIMIT: OnceLock<Option<String>> = OnceLock::new();
    LIMIT.get_or_init(|| std::env::var("TALLOW_SIMD").ok()).as_deref()
}

/// Runs a kernel on an instruction set.
#[inline]
pub fn run_on<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa.0 {
        // SAFETY: an `Isa` holds only detected levels.
        Set::Native(level) => unsafe { arch::run(level, kernel) },
        #[cfg(test)]
        // SAFETY: plain Rust needs no instruction set.
        Set::Wide => unsafe { kernel.run::<Portable<16>>() },
        // SAFETY: as above.
        Set::Portable => unsafe { kernel.run::<Portable<8>>() },
    }
}

/// Defines a function whose body, plain loops, is compiled for each instruction set of the architecture and for the target's
/// baseline; a call takes [`Isa::best`]. Everything that the body calls must be
/// `#[inline(always)]`.
///
/// A body may name `M`, the [`MulAdd`](super::loops::MulAdd) of its instruction set. One that does not gives the same bits on all of them.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)?
     ($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($generic: $bound),+>)? ($($arg: $type),*) {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters)]
            fn body<M: $crate::cpu::loops::MulAdd $(, $($generic: $bound),+)?> ($($arg: $type),*) $body

            $crate::cpu::arch::call_best!($crate::cpu::isa::Isa::best().native(), [$($($generic: $bound),+)?] ($($arg: $type),*));
            body::<$crate::cpu::loops::TwoSteps $(, $($generic),+)?> ($($arg),*)
        }
    };
}

pub(crate) use vectorised;
