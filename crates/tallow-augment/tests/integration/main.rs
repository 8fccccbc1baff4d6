//! The integration tests of tallow-augment: one binary, because each binary links every dependency again.

mod ops;
mod pipeline;
mod policies;
mod torchvision;
