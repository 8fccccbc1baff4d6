//! The integration tests of tallow-serve, over HTTP.

mod bounds;
mod server;
mod sites;
mod support;
