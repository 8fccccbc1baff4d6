//! The integration tests of tallow-audit: one binary, because each binary links every dependency again.

mod planted;
mod references;
