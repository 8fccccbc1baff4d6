//! Average pooling to a given size, smaller or larger than the image.

use candle_core::Tensor;
use tallow_nn::Result;
use tallow_nn::op::{linear, transpose};

/// In each direction, pixel `i` of `output` is the mean of the input's pixels from `⌊i · input / output⌋` to before
/// `⌈(i + 1) · input / output⌉`.
///
/// # Shapes
/// `[n, c, h, w]` → `[n, c, h', w']`.
///
/// # Source
/// PyTorch's `adaptive_avg_pool2d`, as two small matrix products. It suits the few pixels before a classifier.
pub(crate) fn adaptive_avg_pool2d(x: &Tensor, (out_h, out_w): (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    if (h, w) == (out_h, out_w) {
        return Ok(x.clone());
    }
    let means = |input: usize, output: usize| {
        let mut rows = vec![0f32; output * input];
        for (i, row) in rows.chunks_exact_mut(input).enumerate() {
            let (first, end) = (i * input / output, ((i + 1) * input).div_ceil(output));
            row[first..end].fill(1.0 / (end - first) as f32);
        }
        Tensor::from_vec(rows, (output, input), x.device())
    };
    let x = linear(x, &means(w, out_w)?, None)?;
    let x = linear(&transpose(&x, 2, 3)?, &means(h, out_h)?, None)?;
    transpose(&x, 2, 3)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// `torch.nn.functional.adaptive_avg_pool2d(torch.arange(6.).reshape(1, 1, 2, 3), (3, 2))`.
    #[test]
    fn values_are_pytorchs() -> Result<()> {
        let x = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((1, 1, 2, 3))?;
        let y = adaptive_avg_pool2d(&x, (3, 2))?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(y, [0.5, 1.5, 2.0, 3.0, 3.5, 4.5]);
        Ok(())
    }
}
