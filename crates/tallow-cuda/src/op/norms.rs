//! Norms of many tensors; clipping, averages and perturbations of all weights.

use super::run;
use super::tensors::Table;
use crate::device::{Array, Device, Memory};
use crate::error::{Result, check, int, require};
use crate::launch::{Argument, Grid, arguments};
use crate::memory::View;

const OP: &str = "norms";

/// What a norm is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The parameters.
    Values,
    /// The gradients.
    Gradients,
    /// The products of both: adaptive SAM.
    Products,
    /// A state.
    State(usize),
}

/// Launches a kernel with a block for each chunk.
///
/// # Safety
/// As [`Device::launch`].
pub(super) unsafe fn each_chunk<D: Device>(
    device: &D,
    program: &'static str,
    kernel: &str,
    table: &Table<D::Memory>,
    more: Vec<Argument>,
) -> Result<()> {
    if table.chunks().is_empty() {
        return Ok(());
    }
    let arguments = [arguments![table.table(), table.chunks()], more].concat();
    // SAFETY: by the contract.
    unsafe { run(device, program, kernel, Grid::blocks(table.chunks().len()), arguments) }
}

/// The sum of squares of each tensor, in f64; 0 for one without a gradient.
///
/// # Errors
/// A state that a tensor lacks; a failed launch.
pub fn squares<D: Device>(device: &D, table: &Table<D::Memory>, of: Of) -> Result<Array<D::Memory, f64>> {
    let which = match of {
        Of::Values => 0,
        Of::Gradients => 1,
        Of::Products => 2,
        Of::State(state) => {
            let has = state < 4 && table.entries.iter().all(|entry| entry.state[state] != 0 || entry.len == 0);
            require(OP, has, "tensors with this state", state)?;
            3 + state as i32
        }
    };
    let mut parts = Array::<_, f64>::uninit(device, table.chunks().len())?;
    let mut squares = Array::<_, f64>::uninit(device, table.len())?;
    let n = int(OP, "tensors", table.len())?;
    let finish = arguments![table.table(), parts.view(), &squares.view_mut(), n];
    // SAFETY: the table's arrays exist by its contract; there is a part for each chunk, a square for each tensor.
    unsafe {
        each_chunk(device, OP, "chunk_squares", table, arguments![which, &parts.view_mut()])?;
        if n > 0 {
            run(device, OP, "tensor_squares", Grid::warps(table.len()), finish)?;
        }
    }
    Ok(squares)
}

/// The norm of all tensors together, and the factor that brings it down to `max_norm`.
///
/// # Errors
/// A failed launch.
pub fn total<D: Device>(device: &D, squares: View<f64>, max_norm: f64) -> Result<Array<D::Memory, f64>> {
    let mut norm = Array::<_, f64>::uninit(device, 2)?;
    let arguments = arguments![squares, int(OP, "tensors", squares.len())?, max_norm, &norm.view_mut()];
    // SAFETY: two results; the squares' length is passed.
    unsafe { run(device, OP, "total_norm", Grid::blocks(1), arguments)? };
    Ok(norm)
}

/// Scales all gradients down so that their common norm is at most `max_norm`. Returns the norm before, and the factor.
///
/// # Errors
/// A failed launch.
pub fn clip_norm<D: Device>(device: &D, table: &Table<D::Memory>, max_norm: f64) -> Result<Array<D::Memory, f64>> {
    let squares = squares(device, table, Of::Gradients)?;
    let norm = total(device, squares.view(), max_norm)?;
    // SAFETY: the table's arrays exist by its contract.
    unsafe { each_chunk(device, OP, "scale_gradients", table, arguments![norm.view()])? };
    Ok(norm)
}

/// Clamps every value of every gradient to `−limit … limit`.
///
/// # Errors
/// A failed launch.
pub fn clip_value<D: Device>(device: &D, table: &Table<D::Memory>, limit: f32) -> Result<()> {
    // SAFETY: the table's arrays exist by its contract.
    unsafe { each_chunk(device, OP, "clamp_gradients", table, arguments![limit]) }
}

/// Scales the gradient of each row of weights down to `factor` times the weights' norm.
///
/// # Errors
/// A failed launch.
pub fn clip_adaptive<D: Device>(device: &D, table: &Table<D::Memory>, factor: f64) -> Result<()> {
    if table.rows().is_empty() {
        return Ok(());
    }
    let arguments = arguments![table.table(), table.rows(), factor];
    // SAFETY: the table's arrays exist by its contract.
    unsafe { run(device, OP, "clip_adaptively", Grid::blocks(table.rows().len()), arguments) }
}

/// `average ← decay · average + (1 − decay) · weight`, where the table's values are averages and its gradients the weights.
/// The decay is one number on the device.
///
/// # Errors
/// Another number of decays; a failed launch.
pub fn ema<D: Device>(device: &D, table: &Table<D::Memory>, decay: View<f64>) -> Result<()> {
    check(OP, "the decay", 1, decay.len())?;
    // SAFETY: the table's arrays exist by its contract.
    unsafe { each_chunk(device, OP, "ema", table, arguments![decay]) }
}

fn needs_state(table: &Table<impl Memory>) -> Result<()> {
    let has = table.entries.iter().all(|entry| entry.state[0] != 0 || entry.len == 0);
    require(OP, has, "tensors with a state 0", "one without")
}

/// Lookahead: the slow weights (state 0) step by `alpha` towards the weights, which are set to them.
///
/// # Errors
/// A tensor without the state; a failed launch.
pub fn lookahead<D: Device>(device: &D, table: &Table<D::Memory>, alpha: f32) -> Result<()> {
    needs_state(table)?;
    // SAFETY: the table's arrays exist by its contract, and the state was checked.
    unsafe { each_chunk(device, OP, "lookahead", table, arguments![alpha]) }
}

/// SAM: saves the weights in state 0 and moves them by `rho` along the gradient.
///
/// # Errors
/// A tensor without the state; a failed launch.
pub fn sam_climb<D: Device>(device: &D, table: &Table<D::Memory>, rho: f64, adaptive: bool) -> Result<()> {
    needs_state(table)?;
    let squares = squares(device, table, if adaptive { Of::Products } else { Of::Gradients })?;
    let norm = total(device, squares.view(), f64::INFINITY)?;
    // SAFETY: the table's arrays exist by its contract, and the state was checked.
    unsafe { each_chunk(device, OP, "sam_climb", table, arguments![norm.view(), rho, adaptive]) }
}

/// SAM's second half: sets the weights to state 0.
///
/// # Errors
/// A tensor without the state; a failed launch.
pub fn restore<D: Device>(device: &D, table: &Table<D::Memory>) -> Result<()> {
    needs_state(table)?;
    // SAFETY: the table's arrays exist by its contract, and the state was checked.
    unsafe { each_chunk(device, OP, "restore", table, Vec::new()) }
}
