//! The integration tests of xtask: one binary, because each binary links every dependency again.

mod repository;
mod schema;
