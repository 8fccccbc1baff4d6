//! Hides the state that a pass keeps on its thread while the thread waits.
//!
//! A tape, a trace, a number format, packed weights and a count of products belong to the pass that runs on a thread.
//! While a kernel waits for tasks that it gave to rayon's pool, rayon may run another task on the same thread, and that
//! task may be another pass from beginning to end. It must not see what the waiting pass keeps.

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
