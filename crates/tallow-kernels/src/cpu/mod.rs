//! CPU kernels with their gradients, one operation a module.
//!
//! **Data.** Every array is a slice of `f32`, row-major, in the order that the function names. A batch of images is
//! `[n, h, w, c]`: PyTorch's `channels_last`. Results are new vectors.
//!
//! **Panics.** A function panics when a slice has another length than its sizes say. The caller checks what a user
//! gave.
//!
//! **Threads.** Work is divided among rayon's current pool. How sums are divided follows from the sizes alone: results
//! have the same bits on any number of threads.
//!
//! **Instruction sets.** Kernels are compiled for several instruction sets, and take the best one of the machine at run
//! time. The environment variable `TALLOW_SIMD` lowers the choice: `portable` uses plain Rust alone, `avx2` and
//! `avx512` (which leaves AMX out) name a set of x86-64. It is read once. Only the folder `x86/` knows an instruction
//! set; on another architecture it offers none.

pub mod activation;
pub mod attention;
mod bf16;
pub mod conv2d;
pub mod dropout;
pub mod elementwise;
mod isa;
mod loops;
mod memory;
pub mod norm;
pub mod pool;
pub mod quantize;
pub mod scale;
mod simd;
pub mod softmax;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;
mod x86;

/// The instruction sets of this architecture.
use x86 as arch;

pub use bf16::{Precision, bf16_unit};

/// Values that a task works on: enough to be worth a task, few enough for the L2 cache.
const CHUNK: usize = 16 * 1024;
