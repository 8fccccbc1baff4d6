//! The operations: each checks lengths, divides the work and launches kernels. Shapes are those of the CPU kernels,
//! images `[n, h, w, c]`; results go to arrays of the caller.

pub mod activation;
pub mod batch_norm;
pub mod columns;
pub mod depthwise;
pub mod dropout;
pub mod images;
pub mod layer_norm;
pub mod loss;
pub mod muon;
pub mod norms;
pub mod optimizer;
pub mod pool;
pub mod softmax;
pub mod tensors;
pub mod tokens;

use crate::device::Device;
use crate::error::Result;
use crate::launch::{Argument, Grid, Launch};

/// Builds a launch and queues it.
///
/// # Safety
/// As [`Device::launch`].
unsafe fn run<D: Device>(
    device: &D,
    program: &'static str,
    kernel: impl Into<String>,
    grid: Grid,
    arguments: Vec<Argument>,
) -> Result<()> {
    let launch = Launch::new(program, kernel, grid, arguments)?;
    // SAFETY: by the contract.
    unsafe { device.launch(&launch) }
}
