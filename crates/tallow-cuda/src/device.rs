//! Where kernels run, and arrays in its memory.

use std::marker::PhantomData;

use crate::error::Result;
use crate::launch::Launch;
use crate::memory::{Plain, View, ViewMut};

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
        View::of_memory(self.memory.address(), self.len)
    }

    /// Its values, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        ViewMut::of_memory(self.memory.address(), self.len)
    }
}
