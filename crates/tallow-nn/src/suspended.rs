//! A guard that hides a thread-local value.

use std::thread::LocalKey;

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
