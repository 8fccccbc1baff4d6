//! Between Candle tensors and the slices that kernels work on.

use std::mem::MaybeUninit;
use std::ops::Deref;

use candle_core::{CpuStorage, DType, Storage, Tensor};

use crate::error::{Error, Result};

/// Read access to the values of a tensor, for as long as the guard of its storage lives.
struct Values<G> {
    storage: G,
    start: usize,
    len: usize,
}

impl<G: Deref<Target = Storage>> Deref for Values<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let Storage::Cpu(CpuStorage::F32(values)) = &*self.storage else {
            return &[];
        };
        &values[self.start..self.start + self.len]
    }
}

/// The values of `tensor`, which must be contiguous, f32 and on the CPU.
pub fn values<'a>(op: &'static str, tensor: &'a Tensor) -> Result<impl Deref<Target = [f32]> + 'a> {
    let (storage, layout) = tensor.storage_and_layout();
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        let found = format!("{:?} on {:?}", tensor.dtype(), tensor.device().location());
        return Err(Error::input(op, "an f32 tensor on the CPU", found));
    }
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(Values { start, len: end - start, storage }),
        None => Err(Error::input(op, "a contiguous tensor", format!("strides {:?}", layout.stride()))),
    }
}

/// `tensor` if it is contiguous, a contiguous copy otherwise; never recorded.
pub fn contiguous(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.detach().contiguous()?)
}

/// An image batch `[n, c, h, w]` as a contiguous `[n, h, w, c]` tensor: free if it already lies so.
pub fn channels_last(op: &'static str, images: &Tensor) -> Result<Tensor> {
    if images.rank() != 4 || images.dtype() != DType::F32 {
        return Err(Error::input(op, "[n, c, h, w] in f32", format!("{:?} in {:?}", images.dims(), images.dtype())));
    }
    contiguous(&images.detach().permute((0, 2, 3, 1))?)
}

/// A buffer of `len` values that a kernel is about to write in full.
pub struct Uninit(Vec<MaybeUninit<f32>>);

impl Uninit {
    /// Allocates without writing: zeroing costs as much as many kernels do.
    pub fn new(len: usize) -> Self {
        let mut values = Vec::with_capacity(len);
        // SAFETY: MaybeUninit needs no initialisation, and the capacity is `len`.
        unsafe { values.set_len(len) };
        Uninit(values)
    }

    /// For kernels that write through a pointer.
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }

    /// For kernels that write through a slice.
    ///
    /// # Safety
    /// The caller writes every value before it reads any.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: f32 has no invalid bit patterns, and the caller writes before reading.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.0.len()) }
    }

    /// The finished values.
    ///
    /// # Safety
    /// Every value has been written.
    pub unsafe fn finish(self) -> Vec<f32> {
        let mut values = std::mem::ManuallyDrop::new(self.0);
        // SAFETY: same allocation, same layout, and the caller says that all is written.
        unsafe { Vec::from_raw_parts(values.as_mut_ptr().cast(), values.len(), values.capacity()) }
    }
}

/// A pointer that tasks share to write to disjoint places.
#[derive(Clone, Copy)]
pub struct SharedMut(*mut f32);

impl SharedMut {
    /// Wraps the start of a buffer.
    pub fn new(start: *mut f32) -> Self {
        SharedMut(start)
    }

    /// The pointer to the value at `index`.
    ///
    /// # Safety
    /// `index` lies within the buffer, and no other task touches what is written through the result.
    pub unsafe fn at(self, index: usize) -> *mut f32 {
        // SAFETY: the caller keeps `index` within the buffer.
        unsafe { self.0.add(index) }
    }
}

// SAFETY: the pointer is only dereferenced through `at`, whose contract makes the accesses disjoint.
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}
