//! Products of a tensor with a vector over its channels: squeeze-excite's gates and LayerScale.

use candle_core::Tensor;
use tallow_kernels::cpu::scale::{self, Groups};

use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::{channels_last, contiguous};
use crate::tape::{Backward, Output, emit};

const OP: &str = "scale";

/// Multiplies each image's channels by that image's `gates`: the last step of squeeze-excite.
///
/// # Shapes
/// `x` `[n, c, h, w]`, `gates` `[n, c]` → `[n, c, h, w]`, channels-last.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
///
/// # Source
/// Hu et al. 2017, "Squeeze-and-Excitation Networks".
pub fn scale_channels(x: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let images = channels_last("scale_channels", x)?;
    let (n, _, _, c) = images.dims4()?;
    if gates.dims() != [n, c] {
        let expected = format!("gates of shape [{n}, {c}]");
        return Err(Error::input("scale_channels", expected, format!("{:?}", gates.dims())));
    }
    let groups = Groups { count: n, channels: c };
    scaled(x, gates, Scale { x: images, factors: contiguous(gates)?, groups, channels_last: true })
}

/// Multiplies the last dimension by `gamma`: LayerScale.
///
/// # Shapes
/// `x` `[.., c]`, `gamma` `[c]` → as `x`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
///
/// # Source
/// Touvron et al. 2021, "Going deeper with Image Transformers".
pub fn scale_last(x: &Tensor, gamma: &Tensor) -> Result<Tensor> {
    if x.rank() == 0 || x.dims().last() != gamma.dims().first() || gamma.rank() != 1 {
        let found = format!("x {:?}, gamma {:?}", x.dims(), gamma.dims());
        return Err(Error::input("scale_last", "x [.., c] and gamma [c]", found));
    }
    let groups = Groups { count: 1, channels: gamma.elem_count() };
    scaled(x, gamma, Scale { x: contiguous(x)?, factors: contiguous(gamma)?, groups, channels_last: false })
}

fn scaled(x: &Tensor, factors: &Tensor, op: Scale) -> Result<Tensor> {
    let data = on_cpu(OP, [&op.x, &op.factors], |[x, factors]| scale::forward(op.groups, x, factors))?;
    let step = if op.channels_last { Op::ScaleChannels } else { Op::Multiply };
    Ok(record(emit(op.output(data)?, &[x, factors], op)?, &[x, factors], || step))
}

struct Scale {
    x: Tensor,
    factors: Tensor,
    groups: Groups,
    channels_last: bool,
}

impl Scale {
    fn output(&self, data: Vec<f32>) -> Result<Output> {
        Ok(if self.channels_last {
            Output::channels_last(data, self.x.dims4()?)
        } else {
            Output::contiguous(data, self.x.dims())
        })
    }
}

impl Backward for Scale {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = if self.channels_last { channels_last(OP, grad)? } else { contiguous(grad)? };
        let mut grads = vec![None, None];
        if needs[0] {
            let dx = on_cpu(OP, [&grad, &self.factors], |[dy, factors]| scale::forward(self.groups, dy, factors))?;
            grads[0] = Some(self.output(dx)?.into_tensor(grad.device())?);
        }
        if needs[1] {
            let ds = on_cpu(OP, [&grad, &self.x], |[dy, x]| scale::factor_grad(self.groups, dy, x))?;
            grads[1] = Some(Output::contiguous(ds, self.factors.dims()).into_tensor(grad.device())?);
        }
        Ok(grads)
    }
}
