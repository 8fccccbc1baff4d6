//! Counts multiply-accumulates as a forward pass runs: what a model costs, measured rather than derived.

use std::cell::Cell;

use candle_core::Tensor;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `forward` and counts the multiply-accumulates of the convolutions, linear layers and attention's
/// products that it has on this thread; biases, norms, activations and pooling left out, as fvcore does. Convolutions and
/// linear layers are counted without being computed: what they give is zero.
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

/// A layer of `weight` `[out, …]` made `output`: each of its values took `weight / out` of them.
pub(crate) fn record(output: &Tensor, weight: &Tensor) {
    let each = weight.elem_count() / weight.dims()[0].max(1);
    add(output.elem_count() * each);
}

/// Something else took `count` of them.
pub(crate) fn add(count: usize) {
    COUNT.set(COUNT.get().map(|total| total + count as u64));
}
