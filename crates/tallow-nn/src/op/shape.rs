//! Candle's operations on shapes, noted in the graph.

use candle_core::shape::{Dim, Dims, ShapeWithOneHole};
use candle_core::{Shape, Tensor};

use crate::error::Result;
use crate::graph::{Op, record};

/// Gives the same values another shape.
///
/// # Errors
/// A shape of another number of values.
pub fn reshape(x: &Tensor, shape: impl ShapeWithOneHole) -> Result<Tensor> {
    Ok(record(x.reshape(shape)?, &[x], || Op::Reshape))
}

/// Reorders the dimensions: dimension `i` of the result is dimension `dims[i]` of `x`. A view.
///
/// # Errors
/// Dimensions that are no permutation.
pub fn permute(x: &Tensor, dims: impl Dims) -> Result<Tensor> {
    let dims = dims.to_indexes(x.shape(), "permute")?;
    Ok(record(x.permute(dims.as_slice())?, &[x], || Op::Permute(dims.clone())))
}

/// Exchanges two dimensions. A view.
///
/// # Errors
/// Dimensions that `x` does not have.
pub fn transpose(x: &Tensor, a: impl Dim, b: impl Dim) -> Result<Tensor> {
    let (a, b) = (a.to_index(x.shape(), "transpose")?, b.to_index(x.shape(), "transpose")?);
    let mut dims: Vec<usize> = (0..x.rank()).collect();
    dims.swap(a, b);
    permute(x, dims)
}

/// Takes `len` indices of one dimension, from `start` on. A view.
///
/// # Errors
/// A range that `x` does not have.
pub fn narrow(x: &Tensor, dim: impl Dim, start: usize, len: usize) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "narrow")?;
    Ok(record(x.narrow(dim, start, len)?, &[x], || Op::Narrow { dim, start, len }))
}

/// Takes the given indices of one dimension, in this order. An index may come several times.
///
/// # Errors
/// A dimension or an index that `x` does not have.
pub fn select(x: &Tensor, dim: impl Dim, places: &[usize]) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "select")?;
    let indices: Vec<u32> = places.iter().map(|&place| place as u32).collect();
    let indices = Tensor::from_vec(indices, places.len(), x.device())?;
    let y = x.contiguous()?.index_select(&indices, dim)?;
    Ok(record(y, &[x], || Op::Select { dim, places: places.to_vec() }))
}

/// Concatenates tensors along `dim`.
///
/// # Errors
/// No tensors; shapes that differ in another dimension.
pub fn cat(xs: &[&Tensor], dim: impl Dim + Copy) -> Result<Tensor> {
    let y = Tensor::cat(xs, dim)?;
    let dim = dim.to_index(y.shape(), "cat")?;
    Ok(record(y, xs, || Op::Concat(dim)))
}

/// Pads one dimension with `before` zeros before it and `after` zeros after it.
///
/// # Errors
/// A dimension that `x` does not have.
pub fn pad_with_zeros(x: &Tensor, dim: impl Dim, before: usize, after: usize) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "pad_with_zeros")?;
    let y = x.pad_with_zeros(dim, before, after)?;
    Ok(record(y, &[x], || {
        let mut zeros = vec![(0, 0); x.rank()];
        zeros[dim] = (before, after);
        Op::Pad(zeros)
    }))
}

/// Repeats `x` to a shape, as broadcasting does.
///
/// # Errors
/// A shape that `x` does not broadcast to.
pub fn expand(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    Ok(record(x.broadcast_as(shape)?, &[x], || Op::Expand))
}
