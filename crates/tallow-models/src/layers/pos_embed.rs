//! Resampling of position embeddings to another grid of patches.

use candle_core::{DType, Tensor};
use tallow_nn::{Error, Result};

/// Resamples position embeddings from one grid of patches to another, bicubic and antialiased, so
/// that weights trained at one image size can be loaded at another. The first `prefix` rows,
/// those of the class token and similar tokens, are copied.
///
/// # Shapes
/// `[1, prefix + h · w, c]` of grid `old = (h, w)` → `[1, prefix + h' · w', c]` of grid `new = (h', w')`.
///
/// # Errors
/// A tensor that does not hold `prefix` and the grid's rows.
///
/// # Source
/// timm's `resample_abs_pos_embed`; weights as PyTorch's `interpolate(mode="bicubic", antialias=True)`.
pub fn resample_pos_embed(
    pos_embed: &Tensor,
    old: (usize, usize),
    new: (usize, usize),
    prefix: usize,
) -> Result<Tensor> {
    let rows = prefix + old.0 * old.1;
    let c = match *pos_embed.dims() {
        [1, found, c] if found == rows && new.0 * new.1 > 0 => c,
        _ => {
            let expected = format!("[1, {rows}, c] for {prefix} + {}×{} rows, and a grid to fill", old.0, old.1);
            return Err(Error::input("resample_pos_embed", expected, format!("{:?} to {new:?}", pos_embed.dims())));
        }
    };
    if old == new {
        return Ok(pos_embed.clone());
    }
    let values = pos_embed.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let (kept, grid) = values.split_at(prefix * c);
    // First along the rows of the grid, then along the columns.
    let grid = resample(grid, old.0, old.1, c, new.1);
    let grid = resample(&grid, 1, old.0, new.1 * c, new.0);
    let values = [kept, &grid].concat();
    Ok(Tensor::from_vec(values, (1, prefix + new.0 * new.1, c), pos_embed.device())?.to_dtype(pos_embed.dtype())?)
}

/// Resamples the middle axis of `[outer, len, inner]` to `new_len`.
fn resample(x: &[f32], outer: usize, len: usize, inner: usize, new_len: usize) -> Vec<f32> {
    let mut out = vec![0f32; outer * new_len * inner];
    for (i, taps) in taps(len, new_len).into_iter().enumerate() {
        for o in 0..outer {
            let to = &mut out[(o * new_len + i) * inner..][..inner];
            for &(from, weight) in &taps {
                let row = &x[(o * len + from) * inner..][..inner];
                to.iter_mut().zip(row).for_each(|(to, value)| *to += weight * value);
            }
        }
    }
    out
}

/// For each output, the inputs of its weighted mean, with their weights.
fn taps(len: usize, new_len: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = len as f64 / new_len as f64;
    // Downsampling widens the kernel to the inputs that an output covers.
    let stretch = scale.max(1.0);
    let at = |i: usize| {
        let centre = scale * (i as f64 + 0.5);
        let first = (centre - 2.0 * stretch + 0.5).max(0.0) as usize;
        let end = ((centre + 2.0 * stretch + 0.5) as usize).min(len);
        let weights: Vec<f64> = (first..end).map(|j| cubic((j as f64 + 0.5 - centre) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().enumerate().map(|(j, weight)| (first + j, (weight / sum) as f32)).collect()
    };
    (0..new_len).map(at).collect()
}

/// Keys' cubic convolution kernel with a = −1/2.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// A sine wave over a 3×2 grid behind one class token, by timm:
    /// `resample_abs_pos_embed(x, new_size, old_size, num_prefix_tokens=1)`.
    #[test]
    fn values_are_timms() -> Result<()> {
        let up = [
            0.0, 0.64422, 1.1515, 1.09133, 1.03677, 0.87247, 0.73396, 0.29482, 0.43115, -0.28283, 0.31642, -0.50169,
            -0.27686, -0.46057, -0.29154, -0.4128, -0.33028, -0.28671, -0.36902, -0.16062, -0.3837, -0.11285, -0.45975,
            -0.4291, -0.41253, -0.34155, -0.2879, -0.11049, -0.16327, 0.12057, -0.11605, 0.20811, 0.71748, 1.16602,
            0.74964, 1.04154, 0.83453, 0.713, 0.91941, 0.38446, 0.95157, 0.25998,
        ];
        let down = [
            0.0, 0.64422, 0.72209, 0.78428, 0.18843, -0.33229, -0.80638, -0.63565, -0.32073, 0.23169, 0.74858, 0.66811,
            -0.01412, -0.53054,
        ];
        for (old, new, expected) in [((3, 2), (4, 5), &up[..]), ((5, 4), (2, 3), &down)] {
            let rows = 1 + old.0 * old.1;
            let values: Vec<f32> = (0..rows * 2).map(|i| (i as f32 * 0.7).sin()).collect();
            let found = resample_pos_embed(&Tensor::from_vec(values, (1, rows, 2), &Device::Cpu)?, old, new, 1)?;
            assert_eq!(found.dims(), [1, 1 + new.0 * new.1, 2]);
            for (found, expected) in found.flatten_all()?.to_vec1::<f32>()?.iter().zip(expected) {
                assert!((found - expected).abs() < 2e-5, "{found}, expected {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn other_shapes_are_refused() -> Result<()> {
        let rows = Tensor::zeros((1, 7, 2), DType::F32, &Device::Cpu)?;
        let message = resample_pos_embed(&rows, (3, 2), (4, 4), 0).unwrap_err().to_string();
        assert!(message.contains("[1, 6, c]") && message.contains("[1, 7, 2]"), "{message}");
        Ok(())
    }
}
