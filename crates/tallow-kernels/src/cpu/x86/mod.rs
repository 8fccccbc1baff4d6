//! The instruction sets of x86-64: AVX2, AVX-512 and AMX, detected at run time. On other architectures this folder
//! offers none.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod bf16;
#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(target_arch = "x86_64")]
mod simd;

#[cfg(not(target_arch = "x86_64"))]
pub use absent::{Bf16Unit, Level, run};
#[cfg(target_arch = "x86_64")]
pub use bf16::Bf16Unit;
#[cfg(target_arch = "x86_64")]
pub use simd::{Fused, Level, run};

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use absent::call_best;
#[cfg(target_arch = "x86_64")]
pub(crate) use simd::call_best;
