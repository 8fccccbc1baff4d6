//! 2-D convolution: any kernel, stride, padding, dilation and groups.

use std::rc::Rc;

use candle_core::Tensor;
use tallow_kernels::cpu::activation::Activation;
use tallow_kernels::cpu::conv2d::{ConvConfig, Convolution, Epilogue, PackedWeights, Weights, bias_grad};

use super::{activate, on_cpu};
use crate::error::{Error, Result};
use crate::graph::{self, Op, record};
use crate::memory::{channels_last, contiguous, vector};
use crate::tape::{self, Backward, Output};
use crate::{macs, packed_weights, precision};

const OP: &str = "conv2d";

/// Computes the cross-correlation of a batch of images with a bank of filters, as `torch.nn.functional.conv2d`.
///
/// # Shapes
/// `x [n, c, h, w]`, `weight [o, c/groups, kh, kw]`, `bias [o]` → `[n, o, h', w']` with
/// `h' = (h + 2·padding − dilation·(kh − 1) − 1) / stride + 1`.
///
/// # Errors
/// Shapes that do not fit each other; a tensor that is not f32.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, config: ConvConfig) -> Result<Tensor> {
    let convolution = convolution(x, weight, config)?;
    let shift = bias.map(|bias| vector(OP, "a bias", bias, convolution.output_shape().3)).transpose()?;
    let input = channels_last(OP, x)?;
    let filters = contiguous(weight)?;
    let epilogue = Epilogue { shift: shift.as_deref(), ..Epilogue::default() };
    let y = product(OP, &convolution, &input, weight, &filters, None, epilogue)?;
    let output = Output::channels_last(y, convolution.output_shape());
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let y = if tape::records(&inputs) {
        tape::emit(output, &inputs, Conv2d { convolution, input, filters })?
    } else {
        output.into_tensor(x.device())?
    };
    Ok(record(y, &inputs, || Op::Conv2d(config)))
}

/// Computes `activation(scale · conv2d(x, weight) + shift)`, the scale folded into the weights as they are packed:
/// convolution, BatchNorm and activation of inference in one pass. Never recorded.
///
/// # Shapes
/// As in [`conv2d`]; `scale` and `shift` hold one value for each output channel.
///
/// # Errors
/// As [`conv2d`]; a scale or shift of another length.
pub fn conv2d_folded(
    x: &Tensor,
    weight: &Tensor,
    scale: &[f32],
    shift: &[f32],
    activation: Activation,
    config: ConvConfig,
) -> Result<Tensor> {
    if graph::watched() && activation != Activation::Identity {
        return activate(&conv2d_folded(x, weight, scale, shift, Activation::Identity, config)?, activation);
    }
    let convolution = convolution(x, weight, config)?;
    let outputs = convolution.output_shape().3;
    if scale.len() != outputs || shift.len() != outputs {
        let found = format!("{} and {}", scale.len(), shift.len());
        return Err(Error::input("conv2d_folded", format!("{outputs} scales and shifts"), found));
    }
    let (input, filters) = (channels_last(OP, x)?, contiguous(weight)?);
    let epilogue = Epilogue { shift: Some(shift), activation };
    let y = product(OP, &convolution, &input, weight, &filters, Some(scale), epilogue)?;
    let y = Output::channels_last(y, convolution.output_shape()).into_tensor(x.device())?;
    if !graph::watched() {
        return Ok(y);
    }
    let vector = |values: &[f32]| Tensor::from_slice(values, outputs, weight.device());
    Ok(record(y, &[x, weight, &vector(scale)?, &vector(shift)?], || Op::Conv2dFolded(config)))
}

fn convolution(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Convolution> {
    let found = || format!("x {:?}, weight {:?}, {config:?}", x.dims(), weight.dims());
    let (&[n, c, h, w], &[o, cg, kh, kw]) = (x.dims(), weight.dims()) else {
        return Err(Error::input(OP, "x [n, c, h, w] and weight [o, c/groups, kh, kw]", found()));
    };
    Convolution::new([n, c, h, w], [o, cg, kh, kw], config, precision::current())
        .map_err(|expected| Error::input(OP, expected, found()))
}

/// The forward product of contiguous `input` and `filters`, which are the values of `weight`. Zeros while products are
/// counted.
pub(super) fn product(
    op: &'static str,
    convolution: &Convolution,
    input: &Tensor,
    weight: &Tensor,
    filters: &Tensor,
    scale: Option<&[f32]>,
    epilogue: Epilogue,
) -> Result<Vec<f32>> {
    if macs::counting() {
        let (n, h, w, o) = convolution.output_shape();
        return on_cpu(op, [input, filters], |_| vec![0.0; n * h * w * o]);
    }
    let packed = packed(op, convolution, weight, filters, scale)?;
    on_cpu(op, [input, filters], |[x, values]| {
        let weights = match &packed {
            Some(packed) => Weights::Packed(packed),
            None => Weights::Filters { values, scale },
        };
        convolution.forward(x, weights, epilogue)
    })
}

/// The packed form of `weight`, whose values are `filters`: found, or packed now. `None` if this thread keeps none, if `weight`
/// is no parameter, or if a tape records, since the parameter is about to change.
fn packed(
    op: &'static str,
    convolution: &Convolution,
    weight: &Tensor,
    filters: &Tensor,
    scale: Option<&[f32]>,
) -> Result<Option<Rc<PackedWeights>>> {
    if !weight.is_variable() || tape::is_recording() || !packed_weights::are_kept() {
        return Ok(None);
    }
    if let Some(found) = packed_weights::find(weight, convolution, scale) {
        return Ok(Some(found));
    }
    let packed = on_cpu(op, [filters], |[filters]| convolution.pack(filters, scale))?.map(Rc::new);
    if let Some(packed) = &packed {
        packed_weights::insert(weight, packed.clone(), scale);
    }
    Ok(packed)
}

/// The gradients need the images, channels-last, and the filters.
struct Conv2d {
    convolution: Convolution,
    input: Tensor,
    filters: Tensor,
}

impl Backward for Conv2d {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        const OP: &str = "conv2d backward";
        let convolution = &self.convolution;
        let outputs = convolution.output_shape().3;
        let dy = channels_last(OP, grad)?;
        let mut grads = vec![None; needs.len()];
        if needs[0] {
            let dx = on_cpu(OP, [&dy, &self.filters], |[dy, filters]| convolution.input_grad(dy, filters))?;
            grads[0] = Some(Output::channels_last(dx, convolution.input_shape()).into_tensor(grad.device())?);
        }
        if needs[1] {
            let dw = on_cpu(OP, [&self.input, &dy], |[x, dy]| convolution.weight_grad(x, dy))?;
            grads[1] = Some(Output::contiguous(dw, &convolution.weight_shape()).into_tensor(grad.device())?);
        }
        if needs.get(2) == Some(&true) {
            let db = on_cpu(OP, [&dy], |[dy]| bias_grad(dy, outputs))?;
            grads[2] = Some(Output::contiguous(db, &[outputs]).into_tensor(grad.device())?);
        }
        Ok(grads)
    }
}
