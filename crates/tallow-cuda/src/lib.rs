//! CUDA kernels of neural networks, with their gradients: the sources, and the launches that compute an operation.
//!
//! - [`source`]: the programs, in CUDA C++ without a header. NVRTC compiles them at run time; g++ compiles the same text
//!   with the emulation in `emulation/cuda.h`, which the tests use on machines without a GPU.
//! - [`op`]: the operations. Each checks lengths, chooses a grid from the sizes alone and launches its kernels on a
//!   [`Device`].
//! - [`Device`]: where kernels run and memory lies. The feature `cuda` has one: a GPU, in the module `gpu`.
//!
//! Images are `[n, h, w, c]` (`channels_last`). Values are stored as f32 or [`Bf16`]; arithmetic is f32, long sums are
//! f64. There are no float atomics: results have the same bits in every run on one kind of GPU.
#![allow(unsafe_code)] // launches pass addresses

#[cfg(all(feature = "cuda", not(target_os = "linux")))]
compile_error!("the feature `cuda` is for Linux");

mod device;
mod error;
#[cfg(feature = "cuda")]
pub mod gpu;
mod launch;
mod memory;
pub mod op;
pub mod source;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use device::{Array, Device, Memory};
pub use error::{Error, Result};
pub use launch::{Argument, Launch};
pub use memory::{Bf16, Plain, Storage, View, ViewMut};
