//! Counts the multiply-accumulates of a forward pass as it runs.

use std::cell::Cell;

use candle_core::Tensor;

use crate::suspended::Suspended;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `forward` and counts the multiply-accumulates of its convolutions, linear layers and attention on this thread.
/// Biases, norms, activations and pooling are not counted, as in fvcore. Convolutions and linear layers are not
/// computed: their results are zero.
pub fn count<T>(forward: impl FnOnce() -> T) -> (T, u64) {
    let outer = COUNT.replace(Some(0));
    let result = forward();
    let counted = COUNT.replace(outer).unwrap_or(0);
    (result, counted)
}

/// Whether convolutions and linear layers are counted instead of computed.
pub(crate) fn counting() -> bool {
    COUNT.get().is_some()
}

/// Counts the layer of `weight` `[out, …]` that gave `output`: `weight / out` for each of its values.
pub(crate) fn record(output: &Tensor, weight: &Tensor) {
    let each = weight.elem_count() / weight.dims()[0].max(1);
    add(output.elem_count() * each);
}

/// Adds to the count.
pub(crate) fn add(count: usize) {
    COUNT.set(COUNT.get().map(|total| total + count as u64));
}

/// Stops counting until the guard is dropped.
pub(crate) fn suspend() -> Suspended<Cell<Option<u64>>> {
    Suspended::new(&COUNT)
}
