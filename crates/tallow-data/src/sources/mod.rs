//! Where samples come from, one file a format.

mod bundled;
mod idx;
mod memory;
pub(crate) mod named;
