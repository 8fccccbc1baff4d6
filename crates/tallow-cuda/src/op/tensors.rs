//! All tensors of a model as one table in device memory, so that an optimiser is one launch.

use crate::device::{Array, Device, Memory};
use crate::error::{Result, check, int, require};
use crate::memory::{Bf16, Plain, View, ViewMut};

const OP: &str = "tensors";
/// Values of a chunk: the work of a block. As in kernels/tensors.cu.
const CHUNK: usize = 16_384;

/// A parameter with its gradient and an optimiser's state.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Its values.
    pub values: ViewMut<'a, f32>,
    /// Its gradient; a parameter without one does not change.
    pub gradient: Option<ViewMut<'a, f32>>,
    /// The state, as the optimiser's kernel names it.
    pub state: [Option<ViewMut<'a, f32>>; 4],
    /// The bf16 copy, which each change of the values writes too.
    pub low: Option<ViewMut<'a, Bf16>>,
    /// The factor of the learning rate.
    pub lr_scale: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// Rows, which divide the values: outputs of a matrix or of filters, 1 for a vector.
    pub rows: usize,
    /// The factor of Muon's learning rate; 1 elsewhere.
    pub adjust: f64,
}

impl<'a> Parameter<'a> {
    /// A vector without a gradient, a state or a decay.
    pub fn new(values: ViewMut<'a, f32>) -> Self {
        Self {
            values,
            gradient: None,
            state: [const { None }; 4],
            low: None,
            lr_scale: 1.0,
            weight_decay: 0.0,
            rows: 1,
            adjust: 1.0,
        }
    }
}

/// The layout of `Tensor` in kernels/tensors.cu.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub values: u64,
    pub gradient: u64,
    pub state: [u64; 4],
    low: u64,
    pub len: u64,
    lr_scale: f64,
    decay: f64,
    adjust: f64,
    first_chunk: u32,
    chunks: u32,
    pub rows: u32,
    unused: u32,
}

// SAFETY: numbers without padding.
unsafe impl Plain for Entry {}

/// A part of a tensor.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chunk {
    tensor: u32,
    index: u32,
}

// SAFETY: numbers without padding.
unsafe impl Plain for Chunk {}

/// The tensors of a model, on the device.
#[derive(Debug)]
pub struct Table<M> {
    pub(super) entries: Vec<Entry>,
    table: Array<M, Entry>,
    chunks: Array<M, Chunk>,
    rows: Array<M, Chunk>,
}

impl<M: Memory> Table<M> {
    /// The table of these parameters.
    ///
    /// # Safety
    /// Their arrays exist as long as the table is used.
    ///
    /// # Errors
    /// A gradient or state of another length than its parameter; rows that do not divide it; too little memory.
    pub unsafe fn new<D: Device<Memory = M>>(device: &D, parameters: &[Parameter]) -> Result<Self> {
        let (mut entries, mut chunks, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (tensor, parameter) in parameters.iter().enumerate() {
            let len = parameter.values.len();
            for view in parameter.state.iter().chain([&parameter.gradient]).flatten() {
                check(OP, "a gradient or state", len, view.len())?;
            }
            check(OP, "the bf16 copy", len, parameter.low.as_ref().map_or(len, ViewMut::len))?;
            let divides = parameter.rows > 0 && len.is_multiple_of(parameter.rows);
            require(OP, divides, "rows that divide the values", format!("{} of {len}", parameter.rows))?;
            let tensor = int(OP, "tensors", tensor)? as u32;
            let first_chunk = int(OP, "chunks", chunks.len())? as u32;
            let own = len.div_ceil(CHUNK);
            chunks.extend((0..own).map(|index| Chunk { tensor, index: index as u32 }));
            rows.extend((0..parameter.rows).map(|index| Chunk { tensor, index: index as u32 }));
            let address = |view: &Option<ViewMut<f32>>| view.as_ref().map_or(0, ViewMut::address);
            entries.push(Entry {
                values: parameter.values.address(),
                gradient: address(&parameter.gradient),
                state: std::array::from_fn(|i| address(&parameter.state[i])),
                low: parameter.low.as_ref().map_or(0, ViewMut::address),
                len: len as u64,
                lr_scale: parameter.lr_scale,
                decay: parameter.weight_decay,
                adjust: parameter.adjust,
                first_chunk,
                chunks: own as u32,
                rows: parameter.rows as u32,
                unused: 0,
            });
        }
        Ok(Self {
            table: Array::upload(device, &entries)?,
            chunks: Array::upload(device, &chunks)?,
            rows: Array::upload(device, &rows)?,
            entries,
        })
    }

    /// Sets where the gradients lie, in the order of the parameters: another place in each step, without an arena.
    ///
    /// # Safety
    /// The arrays exist as long as the table is used, or until the next call.
    ///
    /// # Errors
    /// Another number of gradients, or of values; too little memory.
    pub unsafe fn set_gradients<D: Device<Memory = M>>(
        &mut self,
        device: &D,
        gradients: &[Option<ViewMut<f32>>],
    ) -> Result<()> {
        check(OP, "the gradients", self.entries.len(), gradients.len())?;
        for (entry, gradient) in self.entries.iter_mut().zip(gradients) {
            check(OP, "a gradient", entry.len as usize, gradient.as_ref().map_or(entry.len as usize, ViewMut::len))?;
            entry.gradient = gradient.as_ref().map_or(0, ViewMut::address);
        }
        self.table = Array::upload(device, &self.entries)?;
        Ok(())
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn table(&self) -> View<'_, Entry> {
        self.table.view()
    }

    pub(super) fn chunks(&self) -> View<'_, Chunk> {
        self.chunks.view()
    }

    pub(super) fn rows(&self) -> View<'_, Chunk> {
        self.rows.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The emulation's tests read tables by the kernels' layout; this is the number that they rely on.
    #[test]
    fn entries_have_the_kernels_layout() {
        assert_eq!((size_of::<Entry>(), size_of::<Chunk>()), (104, 8));
    }
}
