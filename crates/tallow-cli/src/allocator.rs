//! The allocator of every command.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Has the allocator keep the pages that were freed: a training step allocates and frees the same sizes again and again, and
/// giving pages back to the system in between costs 4 to 8 % of a Transformer's (docs/performance.md). To be called before any thread is started.
pub fn keep_freed_pages() {
    /// mimalloc's `mi_option_purge_delay`, which its crate does not name.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: it sets a number, which no other thread reads yet.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    }
}
