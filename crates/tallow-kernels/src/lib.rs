//! Kernels of neural networks: functions from slices of numbers to vectors of numbers.
//!
//! The crate knows no tensors, no tape and no graph. `tallow-nn` checks shapes, calls these kernels and records what a
//! backward pass needs; other frameworks can do the same.
//!
//! - [`cpu`]: kernels for the CPU, parallel over rayon's current thread pool.
//!
//! ```
//! use tallow_kernels::cpu::softmax;
//! let probabilities = softmax::forward(&[0.0, 0.0, 1.0, 1.0], 2);
//! assert_eq!(probabilities, [0.5; 4]);
//! ```
#![allow(unsafe_code)] // vectors by intrinsics, and tasks that write disjoint parts of one buffer

pub mod cpu;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
