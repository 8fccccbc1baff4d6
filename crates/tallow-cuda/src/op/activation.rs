//! Activation functions, sums with an activation, and conversion between storage types.

use super::run;
use crate::device::Device;
use crate::error::{Result, check};
use crate::launch::{Argument, Grid, arguments, is_wide, width};
use crate::memory::{Bf16, Storage, View, ViewMut};

/// An activation function, with PyTorch's formula. The numbers are those of kernels/curve.cu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `x`.
    #[default]
    Identity = 0,
    /// `max(x, 0)`.
    Relu = 1,
    /// `min(max(x, 0), 6)`.
    Relu6 = 2,
    /// `x · Φ(x)`.
    Gelu = 3,
    /// Its approximation by tanh.
    GeluTanh = 4,
    /// `x · σ(x)`.
    Silu = 5,
    /// `x · min(max(x + 3, 0), 6) / 6`.
    Hardswish = 6,
    /// `min(max(x + 3, 0), 6) / 6`.
    Hardsigmoid = 7,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid = 8,
}

impl Activation {
    /// All functions.
    pub const ALL: [Activation; 9] = [
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::Gelu,
        Self::GeluTanh,
        Self::Silu,
        Self::Hardswish,
        Self::Hardsigmoid,
        Self::Sigmoid,
    ];
}

/// Launches an elementwise kernel on `n` values.
///
/// # Safety
/// As [`Device::launch`].
pub(super) unsafe fn elementwise<D: Device, T: Storage>(
    device: &D,
    program: &'static str,
    kernel: &str,
    n: usize,
    wide: bool,
    arguments: Vec<Argument>,
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let grid = Grid::flat(n.div_ceil(width::<T>(wide)));
    // SAFETY: by the contract.
    unsafe { run(device, program, format!("{kernel}{}", T::SUFFIX), grid, arguments) }
}

/// `activation(x)`.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn forward<D: Device, T: Storage>(device: &D, x: View<T>, y: ViewMut<T>, activation: Activation) -> Result<()> {
    check("activation", "y", x.len(), y.len())?;
    let wide = is_wide::<T>(0, &[x.address(), y.address()]);
    let arguments = arguments![x, &y, x.len() as u64, wide, activation as i32];
    // SAFETY: both arrays have the length that is passed.
    unsafe { elementwise::<D, T>(device, "elementwise", "activation_forward", x.len(), wide, arguments) }
}

/// `activation′(x) · dy`.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn backward<D: Device, T: Storage>(
    device: &D,
    x: View<T>,
    dy: View<T>,
    dx: ViewMut<T>,
    activation: Activation,
) -> Result<()> {
    check("activation", "dy", x.len(), dy.len())?;
    check("activation", "dx", x.len(), dx.len())?;
    let wide = is_wide::<T>(0, &[x.address(), dy.address(), dx.address()]);
    let arguments = arguments![x, dy, &dx, x.len() as u64, wide, activation as i32];
    // SAFETY: the arrays have the length that is passed.
    unsafe { elementwise::<D, T>(device, "elementwise", "activation_backward", x.len(), wide, arguments) }
}

/// `activation(a + b)`: the tail of a residual block.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn add<D: Device, T: Storage>(
    device: &D,
    a: View<T>,
    b: View<T>,
    y: ViewMut<T>,
    activation: Activation,
) -> Result<()> {
    check("add", "b", a.len(), b.len())?;
    check("add", "y", a.len(), y.len())?;
    let wide = is_wide::<T>(0, &[a.address(), b.address(), y.address()]);
    let arguments = arguments![a, b, &y, a.len() as u64, wide, activation as i32];
    // SAFETY: the arrays have the length that is passed.
    unsafe { elementwise::<D, T>(device, "elementwise", "add_activate", a.len(), wide, arguments) }
}

/// The gradient of both inputs of a ReLU's sum, from its result: `dy` where `y` is positive.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn relu_mask<D: Device, T: Storage>(device: &D, y: View<T>, dy: View<T>, dx: ViewMut<T>) -> Result<()> {
    check("relu_mask", "dy", y.len(), dy.len())?;
    check("relu_mask", "dx", y.len(), dx.len())?;
    let wide = is_wide::<T>(0, &[y.address(), dy.address(), dx.address()]);
    let arguments = arguments![y, dy, &dx, y.len() as u64, wide];
    // SAFETY: the arrays have the length that is passed.
    unsafe { elementwise::<D, T>(device, "elementwise", "relu_mask", y.len(), wide, arguments) }
}

/// The values rounded to bf16.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn to_bf16<D: Device>(device: &D, x: View<f32>, y: ViewMut<Bf16>) -> Result<()> {
    check("to_bf16", "y", x.len(), y.len())?;
    let wide = is_wide::<Bf16>(0, &[x.address(), y.address()]);
    let grid = Grid::flat(x.len().div_ceil(width::<Bf16>(wide)));
    // SAFETY: both arrays have the length that is passed.
    unsafe { run(device, "elementwise", "to_bf16", grid, arguments![x, &y, x.len() as u64, wide]) }
}

/// The values as f32.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn from_bf16<D: Device>(device: &D, x: View<Bf16>, y: ViewMut<f32>) -> Result<()> {
    check("from_bf16", "y", x.len(), y.len())?;
    let wide = is_wide::<Bf16>(0, &[x.address(), y.address()]);
    let grid = Grid::flat(x.len().div_ceil(width::<Bf16>(wide)));
    // SAFETY: both arrays have the length that is passed.
    unsafe { run(device, "elementwise", "from_bf16", grid, arguments![x, &y, x.len() as u64, wide]) }
}
