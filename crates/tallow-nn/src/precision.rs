//! The number format that products are computed in.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::kernels::bf16::Unit;

/// The number format of convolutions and linear layers. Tensors, sums and everything else are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 bits of fraction.
    #[default]
    F32,
    /// Both factors of each product are rounded to bf16's 8 bits; the products are exact and summed in f32.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Until the guard is dropped, layers that run on this thread compute in `precision`, as under PyTorch's `autocast`. A
/// backward pass computes in the format of its forward pass.
///
/// bf16 needs a processor with AMX-BF16 or AVX512-BF16 ([`bf16_unit`] names it); elsewhere, and for products too small to
/// gain (few channels or images, grouped convolutions), f32 is used as before.
pub fn autocast(precision: Precision) -> Autocast {
    Autocast { before: CURRENT.replace(precision), not_send: PhantomData }
}

/// What multiplies bf16 on this machine, if anything does.
pub fn bf16_unit() -> Option<&'static str> {
    Unit::best().map(Unit::name)
}

/// The format in force on this thread.
pub(crate) fn current() -> Precision {
    CURRENT.get()
}

/// Puts the former format back in force.
#[must_use = "the format is in force until this is dropped"]
pub struct Autocast {
    before: Precision,
    not_send: PhantomData<*const ()>,
}

impl Drop for Autocast {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}
