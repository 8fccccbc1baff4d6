//! The integration tests of tallow-metrics: one binary, because each binary links every dependency again.

mod intervals;
mod multi_label;
mod rankings;
mod sklearn;
