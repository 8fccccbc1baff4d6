//! The integration tests of tallow-hub: the real protocol on loopback addresses, no network.

mod downloads;
mod redirects;
