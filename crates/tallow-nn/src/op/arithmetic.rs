//! Candle's arithmetic, noted in the graph.

use candle_core::{D, Tensor};

use crate::context::suspended;
use crate::error::Result;
use crate::graph::{Op, record};

/// Computes the matrix product over the last two dimensions; those before are broadcast.
///
/// # Shapes
/// `a` `[.., n, k]`, `b` `[.., k, m]` → `[.., n, m]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (left, right) = (a.contiguous()?, b.contiguous()?);
    Ok(record(suspended(|| left.broadcast_matmul(&right))?, &[a, b], || Op::Matmul))
}

/// Computes `a + b`, broadcast. For two tensors of one shape [`add_activate`](super::add_activate) is faster.
///
/// # Errors
/// Shapes that do not broadcast.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_add(b)?, &[a, b], || Op::Add))
}

/// Computes `a − b`, broadcast.
///
/// # Errors
/// Shapes that do not broadcast.
pub fn subtract(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_sub(b)?, &[a, b], || Op::Subtract))
}

/// Computes `a · b`, broadcast.
///
/// # Errors
/// Shapes that do not broadcast.
pub fn multiply(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_mul(b)?, &[a, b], || Op::Multiply))
}

/// Computes `a / b`, broadcast.
///
/// # Errors
/// Shapes that do not broadcast.
pub fn divide(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_div(b)?, &[a, b], || Op::Divide))
}

/// Computes `factor · x + summand`.
///
/// # Errors
/// Errors of Candle.
pub fn affine(x: &Tensor, factor: f64, summand: f64) -> Result<Tensor> {
    Ok(record(x.affine(factor, summand)?, &[x], || Op::Affine { factor, summand }))
}

/// Computes `x²`.
///
/// # Errors
/// Errors of Candle.
pub fn square(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.sqr()?, &[x], || Op::Square))
}

/// Computes `√x`.
///
/// # Errors
/// Errors of Candle.
pub fn sqrt(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.sqrt()?, &[x], || Op::Sqrt))
}

/// Computes `ln x`.
///
/// # Errors
/// Errors of Candle.
pub fn log(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.log()?, &[x], || Op::Log))
}

/// Computes the mean over the last dimension, which becomes 1.
///
/// # Errors
/// A scalar.
pub fn mean_last(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.mean_keepdim(D::Minus1)?, &[x], || Op::MeanLast))
}
