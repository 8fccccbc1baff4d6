//! Buffers that tasks write in parallel, and that nobody has written before.

use std::mem::MaybeUninit;

/// A value of a result that is not written yet.
pub type Slot = MaybeUninit<f32>;

/// A result that a kernel is about to write in full.
pub struct Uninit(Vec<Slot>);

impl Uninit {
    /// Allocates `len` values without writing them: writing zeros first takes as long as many kernels do.
    pub fn new(len: usize) -> Self {
        let mut values = Vec::with_capacity(len);
        // SAFETY: MaybeUninit needs no initialisation, and the capacity is `len`.
        unsafe { values.set_len(len) };
        Uninit(values)
    }

    /// The places to write.
    pub fn slots(&mut self) -> &mut [Slot] {
        &mut self.0
    }

    /// The start of the buffer, for tasks that write disjoint parts through pointers.
    pub fn shared(&mut self) -> SharedMut {
        SharedMut(self.0.as_mut_ptr().cast())
    }

    /// The finished values.
    ///
    /// # Safety
    /// Every value has been written.
    pub unsafe fn finish(self) -> Vec<f32> {
        let mut values = std::mem::ManuallyDrop::new(self.0);
        // SAFETY: the same allocation and layout, and the caller promises that all of it is written.
        unsafe { Vec::from_raw_parts(values.as_mut_ptr().cast(), values.len(), values.capacity()) }
    }
}

/// Writes `value` to every slot and returns the initialised values.
#[inline(always)]
pub fn fill(slots: &mut [Slot], value: f32) -> &mut [f32] {
    for slot in slots.iter_mut() {
        slot.write(value);
    }
    // SAFETY: every slot was written.
    unsafe { assume_written(slots) }
}

/// Copies `values` to as many slots.
#[inline(always)]
pub fn copy(slots: &mut [Slot], values: &[f32]) {
    // SAFETY: MaybeUninit<f32> has f32's layout, and any f32 is a valid MaybeUninit<f32>.
    let values = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<Slot>(), values.len()) };
    slots.copy_from_slice(values);
}

/// The slots as values.
///
/// # Safety
/// Every slot has been written.
#[inline(always)]
pub unsafe fn assume_written(slots: &mut [Slot]) -> &mut [f32] {
    // SAFETY: the layout is f32's, and the caller promises that all of it is written.
    unsafe { std::slice::from_raw_parts_mut(slots.as_mut_ptr().cast(), slots.len()) }
}

/// A pointer that tasks share to write to disjoint places of a buffer.
#[derive(Clone, Copy)]
pub struct SharedMut(*mut f32);

impl SharedMut {
    /// The pointer to the value at `index`.
    ///
    /// # Safety
    /// `index` lies within the buffer, and no other task touches what is written through the result.
    #[inline]
    pub unsafe fn at(self, index: usize) -> *mut f32 {
        // SAFETY: the caller keeps `index` within the buffer.
        unsafe { self.0.add(index) }
    }
}

// SAFETY: the pointer is dereferenced only through `at`, whose contract makes the accesses disjoint.
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}
