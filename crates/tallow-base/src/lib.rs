//! Building blocks that the other Tallow crates share; depends on none of them.
//!
//! - [`rng`]: a random generator keyed by what each number is for.
//! - [`atomic`]: files that appear complete or not at all.
//! - [`nearest`]: the valid names closest to a misspelt one.

pub mod atomic;
pub mod nearest;
pub mod rng;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use atomic::write_atomically;
