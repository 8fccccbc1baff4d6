//! The types of values in device memory, and views of them.

use std::marker::PhantomData;

/// A value stored as the upper half of an f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Bf16 {
    /// The nearest value; of two, the even one.
    pub fn from_f32(value: f32) -> Self {
        if value.is_nan() {
            return Self(0x7fff);
        }
        let bits = value.to_bits();
        Self((bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16)
    }

    /// The value.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// A type that is its bytes.
///
/// # Safety
/// Any bit pattern is a value, and there is no padding.
pub unsafe trait Plain: Copy + Default + 'static {}

macro_rules! plain {
    ($($type:ty),*) => {
        $(
            // SAFETY: a number, of any bits.
            unsafe impl Plain for $type {}
        )*
    };
}
plain!(u8, u32, i32, u64, f32, f64, Bf16);

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for super::Bf16 {}
}

/// A type that kernels keep activations in.
pub trait Storage: Plain + sealed::Sealed {
    /// The ending of a kernel's name for this type.
    const SUFFIX: &'static str;
    /// Values in 16 bytes.
    const WIDE: usize;
    /// From f32.
    fn from_f32(value: f32) -> Self;
    /// As f32.
    fn to_f32(self) -> f32;
}

impl Storage for f32 {
    const SUFFIX: &'static str = "_f32";
    const WIDE: usize = 4;
    fn from_f32(value: f32) -> Self {
        value
    }
    fn to_f32(self) -> f32 {
        self
    }
}

impl Storage for Bf16 {
    const SUFFIX: &'static str = "_bf16";
    const WIDE: usize = 8;
    fn from_f32(value: f32) -> Self {
        Bf16::from_f32(value)
    }
    fn to_f32(self) -> f32 {
        Bf16::to_f32(self)
    }
}

/// Values in device memory that a kernel reads.
#[derive(Debug)]
pub struct View<'a, T> {
    address: u64,
    len: usize,
    values: PhantomData<&'a T>,
}

impl<T> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for View<'_, T> {}

/// Values in device memory that a kernel writes.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    address: u64,
    len: usize,
    values: PhantomData<&'a mut T>,
}

macro_rules! view {
    ($view:ident) => {
        impl<T: Plain> $view<'_, T> {
            /// The `len` values at an address.
            ///
            /// # Safety
            /// The address is one of the device's memory, aligned for `T`, with room for `len` values. They exist as
            /// long as launches with this view may run.
            pub unsafe fn from_raw(address: u64, len: usize) -> Self {
                Self { address, len, values: PhantomData }
            }

            /// As [`from_raw`](Self::from_raw), for memory that the view borrows.
            pub(crate) fn of_memory(address: u64, len: usize) -> Self {
                Self { address, len, values: PhantomData }
            }

            /// The address of the first value.
            pub fn address(&self) -> u64 {
                self.address
            }

            /// The number of values.
            pub fn len(&self) -> usize {
                self.len
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len == 0
            }
        }
    };
}
view!(View);
view!(ViewMut);

impl<T: Plain> ViewMut<'_, T> {
    /// The same values, to read.
    pub fn as_view(&self) -> View<'_, T> {
        View { address: self.address, len: self.len, values: PhantomData }
    }
}
