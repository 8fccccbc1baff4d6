//! Bilinear resizing of small feature maps.

use candle_core::Tensor;
use tallow_nn::Result;
use tallow_nn::op::{matmul, permute, reshape};

/// Resizes `[n, c, h, w]` to `[n, c, h', w']`, channels-last, by one matrix product over the
/// pixels. It suits maps of a few hundred pixels.
///
/// # Source
/// PyTorch's `interpolate(mode="bilinear", align_corners=…)`.
pub(crate) fn bilinear(x: &Tensor, (new_h, new_w): (usize, usize), align_corners: bool) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let (rows, columns) = (weights(h, new_h, align_corners), weights(w, new_w, align_corners));
    let mut matrix = vec![0f32; new_h * new_w * h * w];
    for (i, down) in rows.iter().enumerate() {
        for (j, right) in columns.iter().enumerate() {
            let row = &mut matrix[(i * new_w + j) * h * w..][..h * w];
            for (y, wy) in down {
                for (x, wx) in right {
                    row[y * w + x] += wy * wx;
                }
            }
        }
    }
    let matrix = Tensor::from_vec(matrix, (1, new_h * new_w, h * w), x.device())?;
    let pixels = reshape(&permute(x, (0, 2, 3, 1))?, (n, h * w, c))?;
    let pixels = reshape(&matmul(&matrix, &pixels)?, (n, new_h, new_w, c))?;
    permute(&pixels, (0, 3, 1, 2))
}

/// For each output, the two inputs that it interpolates, with their weights.
fn weights(len: usize, new_len: usize, align_corners: bool) -> Vec<[(usize, f32); 2]> {
    let at = |i: usize| {
        let place = if align_corners {
            i as f64 * (len - 1) as f64 / (new_len.max(2) - 1) as f64
        } else {
            ((i as f64 + 0.5) * len as f64 / new_len as f64 - 0.5).max(0.0)
        };
        let first = (place as usize).min(len - 1);
        let share = (place - first as f64) as f32;
        [(first, 1.0 - share), ((first + 1).min(len - 1), share)]
    };
    (0..new_len).map(at).collect()
}
