//! The number format that products are computed in.

use std::cell::Cell;
use std::marker::PhantomData;

pub use tallow_kernels::cpu::{Precision, bf16_unit};

use crate::suspended::Suspended;

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Until the guard is dropped, convolutions and linear layers that run on this thread compute in `precision`, as under
/// PyTorch's `autocast`. A backward pass computes in the format of its forward pass.
///
/// bf16 needs a processor that multiplies it ([`bf16_unit`] names the unit). Without one, and for products too small to
/// gain (few channels or images, grouped convolutions), f32 is used.
pub fn autocast(precision: Precision) -> Autocast {
    Autocast { before: CURRENT.replace(precision), not_send: PhantomData }
}

/// The format in force on this thread.
pub(crate) fn current() -> Precision {
    CURRENT.get()
}

/// Puts f32 in force until the guard is dropped.
pub(crate) fn suspend() -> Suspended<Cell<Precision>> {
    Suspended::new(&CURRENT)
}

/// Puts the former format back in force when it is dropped.
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
