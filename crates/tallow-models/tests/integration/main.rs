//! The integration tests of tallow-models: one binary, because each binary links every dependency again.

mod common;
mod registry;
mod timm;
