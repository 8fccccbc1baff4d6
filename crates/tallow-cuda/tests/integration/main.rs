//! Every kernel, forward and backward, against the CPU's kernels and the recorded values of PyTorch, on odd shapes.
//!
//! A test is a body over a [`Device`](tallow_cuda::Device). It runs on the emulation (g++, no GPU) and, with the feature
//! `cuda`, on a GPU.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod backend;
mod emulation;
mod support;

mod activation;
mod batch_norm;
mod columns;
mod depthwise;
mod dropout;
mod images;
mod layer_norm;
mod loss;
mod norms;
mod optimizer;
mod optimizer_cases;
mod pool;
mod recorded;
mod softmax;
mod tokens;
