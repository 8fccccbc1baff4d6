//! Where samples come from, one file a format.

mod bundled;
mod cifar;
mod files;
pub(crate) mod folder;
mod gzip;
mod idx;
pub(crate) mod manifest;
mod memory;
pub(crate) mod named;
mod tar;
