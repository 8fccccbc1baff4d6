//! The integration tests of tallow-cli: one binary, because each binary links every dependency again.

mod crossval;
mod data;
mod ensemble;
mod evaluations;
mod faults;
mod flags;
mod fuzz_seeds;
mod kill_and_resume;
mod multi_label;
mod predict;
mod preprocessing;
mod pretrained;
mod serve;
mod stream;
