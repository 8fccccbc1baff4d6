//! Candle's operations on activations under their own names, leaving a trace in a [`graph`](crate::graph): a model that is made
//! of these and of [`kernels`](crate::kernels) can be exported. Differentiated by Candle's engine.

use candle_core::shape::{Dim, Dims, ShapeWithOneHole};
use candle_core::{D, Shape, Tensor};

use crate::error::Result;
use crate::graph::{Op, record};

/// The same values in another shape.
///
/// # Errors
/// A shape of another number of values.
pub fn reshape(x: &Tensor, shape: impl ShapeWithOneHole) -> Result<Tensor> {
    Ok(record(x.reshape(shape)?, &[x], || Op::Reshape))
}

/// Dimension `i` of the result is dimension `dims[i]` of `x`: a view.
///
/// # Errors
/// Dimensions that are no permutation.
pub fn permute(x: &Tensor, dims: impl Dims) -> Result<Tensor> {
    let dims = dims.to_indexes(x.shape(), "permute")?;
    Ok(record(x.permute(dims.as_slice())?, &[x], || Op::Permute(dims.clone())))
}

/// `x` with two dimensions in each other's place: a view.
///
/// # Errors
/// Dimensions that `x` does not have.
pub fn transpose(x: &Tensor, a: impl Dim, b: impl Dim) -> Result<Tensor> {
    let (a, b) = (a.to_index(x.shape(), "transpose")?, b.to_index(x.shape(), "transpose")?);
    let mut dims: Vec<usize> = (0..x.rank()).collect();
    dims.swap(a, b);
    permute(x, dims)
}

/// `len` places of one dimension, from `start` on: a view.
///
/// # Errors
/// A range that `x` does not have.
pub fn narrow(x: &Tensor, dim: impl Dim, start: usize, len: usize) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "narrow")?;
    Ok(record(x.narrow(dim, start, len)?, &[x], || Op::Narrow { dim, start, len }))
}

/// These places of one dimension, in this order; a place can come several times.
///
/// # Errors
/// A dimension or a place that `x` does not have.
pub fn select(x: &Tensor, dim: impl Dim, places: &[usize]) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "select")?;
    let indices: Vec<u32> = places.iter().map(|&place| place as u32).collect();
    let indices = Tensor::from_vec(indices, places.len(), x.device())?;
    let y = x.contiguous()?.index_select(&indices, dim)?;
    Ok(record(y, &[x], || Op::Select { dim, places: places.to_vec() }))
}

/// Several tensors one behind the other along `dim`.
///
/// # Errors
/// None; shapes that differ in another dimension.
pub fn cat(xs: &[&Tensor], dim: impl Dim + Copy) -> Result<Tensor> {
    let y = Tensor::cat(xs, dim)?;
    let dim = dim.to_index(y.shape(), "cat")?;
    Ok(record(y, xs, || Op::Concat(dim)))
}

/// `before` zeros before and `behind` zeros behind one dimension.
///
/// # Errors
/// A dimension that `x` does not have.
pub fn pad_with_zeros(x: &Tensor, dim: impl Dim, before: usize, behind: usize) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "pad_with_zeros")?;
    let y = x.pad_with_zeros(dim, before, behind)?;
    Ok(record(y, &[x], || {
        let mut zeros = vec![(0, 0); x.rank()];
        zeros[dim] = (before, behind);
        Op::Pad(zeros)
    }))
}

/// `x` repeated to a shape.
///
/// # Errors
/// A shape that `x` does not go into.
pub fn expand(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    Ok(record(x.broadcast_as(shape)?, &[x], || Op::Expand))
}

/// The product over the last two dimensions; those before are broadcast.
///
/// # Errors
/// Shapes that do not fit.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.contiguous()?.broadcast_matmul(&b.contiguous()?)?, &[a, b], || Op::Matmul))
}

/// `a + b`, broadcast. For two of one shape [`add_activate`](crate::kernels::elementwise::add_activate) is faster.
///
/// # Errors
/// Shapes that do not fit.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_add(b)?, &[a, b], || Op::Add))
}

/// `a − b`, broadcast.
///
/// # Errors
/// Shapes that do not fit.
pub fn subtract(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_sub(b)?, &[a, b], || Op::Subtract))
}

/// `a · b`, broadcast.
///
/// # Errors
/// Shapes that do not fit.
pub fn multiply(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_mul(b)?, &[a, b], || Op::Multiply))
}

/// `a / b`, broadcast.
///
/// # Errors
/// Shapes that do not fit.
pub fn divide(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(record(a.broadcast_div(b)?, &[a, b], || Op::Divide))
}

/// `factor · x + summand`.
///
/// # Errors
/// None that a tensor of numbers has.
pub fn affine(x: &Tensor, factor: f64, summand: f64) -> Result<Tensor> {
    Ok(record(x.affine(factor, summand)?, &[x], || Op::Affine { factor, summand }))
}

/// `x²`.
///
/// # Errors
/// None that a tensor of numbers has.
pub fn square(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.sqr()?, &[x], || Op::Square))
}

/// `√x`.
///
/// # Errors
/// None that a tensor of numbers has.
pub fn sqrt(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.sqrt()?, &[x], || Op::Sqrt))
}

/// `ln x`.
///
/// # Errors
/// None that a tensor of numbers has.
pub fn log(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.log()?, &[x], || Op::Log))
}

/// The mean over the last dimension, which stays as 1.
///
/// # Errors
/// A scalar.
pub fn mean_last(x: &Tensor) -> Result<Tensor> {
    Ok(record(x.mean_keepdim(D::Minus1)?, &[x], || Op::MeanLast))
}
