//! Partition of a feature map into windows and grids for attention, and its inverse.
//!
//! A map is `[n, h, w, c]`. Windows are `[n · windows, wh · ww, c]`, row by row within each image.

use candle_core::Tensor;
use tallow_nn::Result;
use tallow_nn::op::{cat, narrow, pad_with_zeros, permute, reshape};

/// Cuts a map into windows of neighbouring pixels. The window must divide the map's sides.
pub(crate) fn partition(x: &Tensor, (wh, ww): (usize, usize)) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    let x = reshape(x, vec![n, h / wh, wh, w / ww, ww, c])?;
    reshape(&permute(&x, vec![0, 1, 3, 2, 4, 5])?, (n * (h / wh) * (w / ww), wh * ww, c))
}

/// Joins the windows of [`partition`] into maps of `h` × `w`.
pub(crate) fn reverse(windows: &Tensor, (wh, ww): (usize, usize), (h, w): (usize, usize)) -> Result<Tensor> {
    let c = windows.dims()[2];
    let n = windows.dims()[0] / ((h / wh) * (w / ww));
    let x = reshape(windows, vec![n, h / wh, w / ww, wh, ww, c])?;
    reshape(&permute(&x, vec![0, 1, 3, 2, 4, 5])?, (n, h, w, c))
}

/// Rolls a map up and left by `shift`: pixels that leave it enter at the other end.
pub(crate) fn roll(x: &Tensor, shift: (usize, usize)) -> Result<Tensor> {
    let mut x = x.clone();
    for (dim, by) in [(1, shift.0), (2, shift.1)] {
        if by > 0 {
            let len = x.dims()[dim];
            x = cat(&[&narrow(&x, dim, by, len - by)?, &narrow(&x, dim, 0, by)?], dim)?;
        }
    }
    Ok(x)
}

/// Pads with zeros below and on the right until `multiple` divides height and width.
pub(crate) fn pad(x: &Tensor, multiple: (usize, usize)) -> Result<Tensor> {
    let mut x = x.clone();
    for (dim, multiple) in [(1, multiple.0), (2, multiple.1)] {
        let missing = x.dims()[dim].next_multiple_of(multiple) - x.dims()[dim];
        if missing > 0 {
            x = pad_with_zeros(&x, dim, 0, missing)?;
        }
    }
    Ok(x)
}

/// Cuts a map into grids of `gh` × `gw` pixels at equal distances over the whole map.
pub(crate) fn grid_partition(x: &Tensor, (gh, gw): (usize, usize)) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    let x = reshape(x, vec![n, gh, h / gh, gw, w / gw, c])?;
    reshape(&permute(&x, vec![0, 2, 4, 1, 3, 5])?, (n * (h / gh) * (w / gw), gh * gw, c))
}

/// Joins the grids of [`grid_partition`] into maps of `h` × `w`.
pub(crate) fn grid_reverse(grids: &Tensor, (gh, gw): (usize, usize), (h, w): (usize, usize)) -> Result<Tensor> {
    let c = grids.dims()[2];
    let n = grids.dims()[0] / ((h / gh) * (w / gw));
    let x = reshape(grids, vec![n, h / gh, w / gw, gh, gw, c])?;
    reshape(&permute(&x, vec![0, 3, 1, 4, 2, 5])?, (n, h, w, c))
}
