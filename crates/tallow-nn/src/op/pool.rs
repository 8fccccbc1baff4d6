//! Max and average pooling over windows.

use candle_core::{Device, Tensor};
use tallow_kernels::cpu::pool::{MaxTaps, PoolConfig, Pooling};

use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::channels_last;
use crate::tape::{Backward, Output, emit, records};

/// Computes the largest value under each window; NaN if the window holds one.
///
/// # Shapes
/// `x` `[n, c, h, w]` → `[n, c, h', w']`, channels-last, with
/// `h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1`, rounded up in `ceil_mode`.
///
/// # Errors
/// A window that does not fit; a tensor that is not f32.
///
/// # Source
/// PyTorch's `max_pool2d`: the first of equal values gets the gradient.
pub fn max_pool2d(x: &Tensor, config: PoolConfig) -> Result<Tensor> {
    const OP: &str = "max_pool2d";
    let (images, windows) = windows(OP, x, config)?;
    let keep_taps = records(&[x]);
    let (data, taps) = on_cpu(OP, [&images], |[x]| windows.pooling.max(x, keep_taps))?;
    let output = windows.output(data);
    let y = if keep_taps { emit(output, &[x], MaxPool { windows, taps })? } else { output.into_tensor(x.device())? };
    Ok(record(y, &[x], || Op::MaxPool(config)))
}

/// Computes the mean of the values under each window. `count_include_pad` says whether the padding's zeros count as
/// values (PyTorch's default is yes).
///
/// # Shapes
/// As in [`max_pool2d`].
///
/// # Errors
/// A window that does not fit; a tensor that is not f32.
pub fn avg_pool2d(x: &Tensor, config: PoolConfig, count_include_pad: bool) -> Result<Tensor> {
    const OP: &str = "avg_pool2d";
    let (images, windows) = windows(OP, x, config)?;
    let data = on_cpu(OP, [&images], |[x]| windows.pooling.avg(x, count_include_pad))?;
    let y = emit(windows.output(data), &[x], AvgPool { windows, count_include_pad })?;
    Ok(record(y, &[x], || Op::AvgPool { config, count_include_pad }))
}

/// The windows over a batch of images.
#[derive(Clone, Copy)]
struct Windows {
    pooling: Pooling,
    /// The shape of the images, `(n, h, w, c)`.
    input: (usize, usize, usize, usize),
}

impl Windows {
    fn output(&self, data: Vec<f32>) -> Output {
        let [n, h, w, c] = self.pooling.output();
        Output::channels_last(data, (n, h, w, c))
    }

    fn input_grad(&self, data: Vec<f32>, device: &Device) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(Output::channels_last(data, self.input).into_tensor(device)?)])
    }
}

/// The images as they lie, and the windows over them.
fn windows(op: &'static str, x: &Tensor, config: PoolConfig) -> Result<(Tensor, Windows)> {
    let images = channels_last(op, x)?;
    let input @ (n, h, w, c) = images.dims4()?;
    let axes = [
        (h, config.kernel.0, config.stride.0, config.padding.0),
        (w, config.kernel.1, config.stride.1, config.padding.1),
    ];
    for (size, kernel, stride, padding) in axes {
        if kernel == 0 || stride == 0 || padding > kernel / 2 {
            let reason = format!(
                "kernel {kernel}, stride {stride}, padding {padding}: kernel and stride must be positive, \
                 padding at most half the kernel"
            );
            return Err(Error::Config { op, reason });
        }
        if size == 0 || size + 2 * padding < kernel {
            let expected = format!("images of at least {kernel} pixels with padding");
            return Err(Error::input(op, expected, format!("{h}×{w}")));
        }
    }
    Ok((images, Windows { pooling: Pooling::new([n, h, w, c], config), input }))
}

struct MaxPool {
    windows: Windows,
    taps: MaxTaps,
}

impl Backward for MaxPool {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        const OP: &str = "max_pool2d";
        let grad = channels_last(OP, grad)?;
        let dx = on_cpu(OP, [&grad], |[dy]| self.windows.pooling.max_backward(&self.taps, dy))?;
        self.windows.input_grad(dx, grad.device())
    }
}

struct AvgPool {
    windows: Windows,
    count_include_pad: bool,
}

impl Backward for AvgPool {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        const OP: &str = "avg_pool2d";
        let grad = channels_last(OP, grad)?;
        let dx = on_cpu(OP, [&grad], |[dy]| self.windows.pooling.avg_backward(dy, self.count_include_pad))?;
        self.windows.input_grad(dx, grad.device())
    }
}
