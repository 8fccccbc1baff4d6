//! The integration tests of tallow-nn: one binary, because each binary links every dependency again.

mod checkpoint;
mod common;
mod conv2d;
mod gradients;
mod graph;
mod layers;
mod recorded;
mod stolen_passes;
mod tape;
