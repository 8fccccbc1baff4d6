//! Hides the state that a pass keeps on its thread while the thread waits.
//!
//! A tape, a trace, a number format, packed weights and a count of products belong to the pass that runs on a thread.
//! While a kernel waits for tasks that it gave to rayon's pool, rayon may run another task on the same thread, and that
//! task may be another pass from beginning to end. It must not see what the waiting pass keeps.

use std::thread::LocalKey;

use crate::{graph, macs, packed_weights, precision, tape};

/// Runs `f` as if no pass had begun on this thread: no tape records, no trace notes, no number format and no packed
/// weights are in force. They are put back afterwards.
///
/// [`on_cpu`](crate::op::on_cpu) calls it for every kernel. Call it for code of your own that waits for rayon in the
/// middle of a pass, if several passes share a thread pool. Candle's `matmul` is such code;
/// [`op::matmul`](crate::op::matmul) calls this function.
pub fn suspended<T>(f: impl FnOnce() -> T) -> T {
    let _suspended =
        (tape::suspend(), graph::suspend(), packed_weights::suspend(), macs::suspend(), precision::suspend());
    f()
}

/// A value of this thread that was replaced by its default, and is put back when this is dropped.
pub(crate) struct Suspended<S: Slot + 'static> {
    slot: &'static LocalKey<S>,
    value: Option<S::Value>,
}

/// A thread-local cell.
pub(crate) trait Slot {
    /// The type of its value.
    type Value: Default;
    /// Replaces the value.
    fn put(&self, value: Self::Value) -> Self::Value;
}

impl<T: Default> Slot for std::cell::RefCell<T> {
    type Value = T;
    fn put(&self, value: T) -> T {
        self.replace(value)
    }
}

impl<T: Default> Slot for std::cell::Cell<T> {
    type Value = T;
    fn put(&self, value: T) -> T {
        self.replace(value)
    }
}

impl<S: Slot> Suspended<S> {
    /// Takes the value out of `slot`.
    pub(crate) fn new(slot: &'static LocalKey<S>) -> Self {
        Suspended { slot, value: Some(slot.with(|slot| slot.put(S::Value::default()))) }
    }
}

impl<S: Slot> Drop for Suspended<S> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.slot.with(|slot| slot.put(value));
        }
    }
}
