//! The formats that datasets are read from, one file or folder each.

#[cfg(feature = "bundled")]
mod bundled;
mod cifar;
mod classes;
pub(crate) mod features;
pub(crate) mod files;
pub(crate) mod folder;
mod gzip;
mod idx;
mod layout;
pub(crate) mod manifest;
mod memory;
pub(crate) mod named;
#[cfg(feature = "parquet")]
mod parquet;
pub(crate) mod paths;
mod tar;
mod text;
#[cfg(feature = "wds")]
pub(crate) mod wds;
