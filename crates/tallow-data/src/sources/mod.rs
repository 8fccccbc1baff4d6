//! Where samples come from, one file a format.

mod bundled;
mod cifar;
pub(crate) mod classes;
mod files;
pub(crate) mod folder;
mod gzip;
mod idx;
pub(crate) mod manifest;
mod memory;
pub(crate) mod named;
pub(crate) mod parquet;
pub(crate) mod paths;
mod tar;
pub(crate) mod wds;
