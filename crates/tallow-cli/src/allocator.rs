//! The allocator of every command.
#![allow(unsafe_code)]

use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's `mi_option_purge_delay`, which its crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// How long a server's freed pages stay with it: long enough for the next batch of images to reuse them.
const SERVER_DELAY: Duration = Duration::from_secs(2);

/// What happens to pages that were freed.
#[derive(Clone, Copy)]
pub enum Freed {
    /// They stay with the program: a training step allocates and frees the same sizes again and again, and giving pages back to
    /// the system in between costs 4 to 8 % of a Transformer's (docs/performance.md).
    Kept,
    /// They go back to the system: a server runs for weeks, and a burst of large requests must not set its size for ever.
    /// Needs [`purge_regularly`].
    GivenBack,
}

/// Chooses what happens to pages that are freed, unless `MIMALLOC_PURGE_DELAY` does. To be called before any thread is started.
pub fn set(freed: Freed) {
    let milliseconds = match freed {
        Freed::Kept => -1,
        Freed::GivenBack => SERVER_DELAY.as_millis() as std::ffi::c_long,
    };
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: it sets a number, which no other thread reads yet.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) };
    }
}

/// Starts a thread that gives pages back whose delay is over. mimalloc does so by itself only while it allocates, which an
/// idle server does not.
///
/// # Errors
/// The system provides no thread.
pub fn purge_regularly() -> std::io::Result<()> {
    let purge = || {
        loop {
            std::thread::sleep(SERVER_DELAY);
            // SAFETY: it may be called by any thread at any time, and touches freed memory only.
            unsafe { libmimalloc_sys::mi_collect(false) };
        }
    };
    std::thread::Builder::new().name("tallow-purge".into()).spawn(purge).map(drop)
}
