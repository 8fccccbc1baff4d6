//! Transformers, one family a file.

pub(crate) mod cait;
pub(crate) mod cct;
pub(crate) mod convit;
pub(crate) mod deit;
pub(crate) mod mlp_mixer;
pub(crate) mod swin;
pub(crate) mod vision_transformer;
