//! Arrays in device memory, and views of them.

use std::marker::PhantomData;

use crate::error::Result;
use crate::launch::Launch;

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

/// Memory of a device, which is given back when this is dropped: after the launches that were queued before.
pub trait Memory {
    /// The address, a multiple of 16.
    fn address(&self) -> u64;
}

/// A place where kernels run. Launches, copies and the return of memory happen in the order in which they are asked for.
pub trait Device {
    /// Memory of this device.
    type Memory: Memory;

    /// Memory of any content, at least one byte.
    ///
    /// # Errors
    /// There is too little.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// A copy of host memory.
    ///
    /// # Errors
    /// There is too little memory.
    fn upload(&self, bytes: &[u8]) -> Result<Self::Memory>;

    /// Copies to host memory, after all launches so far.
    ///
    /// # Errors
    /// One of them failed.
    fn download(&self, memory: &Self::Memory, bytes: &mut [u8]) -> Result<()>;

    /// Queues a kernel.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and each address has the memory that the kernel reads and writes.
    ///
    /// # Errors
    /// The program does not compile, or the kernel cannot be started.
    unsafe fn launch(&self, launch: &Launch) -> Result<()>;
}

/// Values in device memory.
#[derive(Debug)]
pub struct Array<M, T> {
    memory: M,
    len: usize,
    values: PhantomData<T>,
}

impl<M: Memory, T: Plain> Array<M, T> {
    /// `len` values of any content.
    ///
    /// # Errors
    /// There is too little memory.
    pub fn uninit<D: Device<Memory = M>>(device: &D, len: usize) -> Result<Self> {
        let memory = device.allocate((len * size_of::<T>()).max(1))?;
        Ok(Self { memory, len, values: PhantomData })
    }

    /// A copy of host values.
    ///
    /// # Errors
    /// There is too little memory.
    pub fn upload<D: Device<Memory = M>>(device: &D, values: &[T]) -> Result<Self> {
        // SAFETY: a plain type is its bytes.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
        let memory = if bytes.is_empty() { device.allocate(1)? } else { device.upload(bytes)? };
        Ok(Self { memory, len: values.len(), values: PhantomData })
    }

    /// The values, on the host.
    ///
    /// # Errors
    /// A launch before failed.
    pub fn download<D: Device<Memory = M>>(&self, device: &D) -> Result<Vec<T>> {
        let mut values = vec![T::default(); self.len];
        let bytes = size_of_val(&values[..]);
        if bytes > 0 {
            // SAFETY: any bytes are values of a plain type.
            let target = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), bytes) };
            device.download(&self.memory, target)?;
        }
        Ok(values)
    }

    /// Its values, to read.
    pub fn view(&self) -> View<'_, T> {
        View { address: self.memory.address(), len: self.len, values: PhantomData }
    }

    /// Its values, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        ViewMut { address: self.memory.address(), len: self.len, values: PhantomData }
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
