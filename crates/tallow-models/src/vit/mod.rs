//! Transformers, one family a file.

pub(crate) mod deit;
pub(crate) mod vit;
