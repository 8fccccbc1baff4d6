//! Fast CPU operations with their backward, one op a folder or file.
//!
//! Each takes and gives Candle tensors in f32, works on plain slices in between, is parallel
//! over rayon's pool, and gives the same result whatever the number of threads. Image batches have
//! the shape `[n, c, h, w]` and lie in memory as `[n, h, w, c]`, PyTorch's `channels_last`; other
//! strides are accepted and copied first.
//!
//! This is the only place in the workspace where `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod activation;
pub mod attention;
pub(crate) mod bf16;
pub mod conv2d;
pub mod dropout;
pub mod elementwise;
pub mod linear;
mod map;
pub mod memory;
pub mod norm;
pub mod pool;
pub mod quantize;
pub mod scale;
pub mod simd;
pub mod softmax;
pub mod tokens;
mod vectorised;
