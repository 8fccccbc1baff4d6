//! Each kernel alone. The shapes are those of `fixtures/scripts/peers.py`.

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use serde_json::json;
use tallow_nn::Tape;
use tallow_nn::op::{
    Activation, ConvConfig, PoolConfig, activate, attention_qkv, batch_norm_train, conv2d, global_avg_pool, layer_norm,
    linear, max_pool2d, scale_channels,
};
use tallow_nn::tape::{Backward, Output, emit};

use super::{median, seconds};

#[derive(clap::Args)]
pub struct Args {
    /// Only kernels whose name contains this
    filter: Option<String>,
    /// The number format of products
    #[arg(long, default_value = "f32")]
    precision: super::Format,
    /// Measured repetitions, after two that are not
    #[arg(long, default_value_t = 9, value_name = "N")]
    repeat: usize,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

type Op = Box<dyn Fn(&[Tensor]) -> tallow_nn::Result<Tensor>>;

/// A kernel and what it is measured on.
struct Case {
    name: String,
    /// Of the inputs: images as [n, h, w, c] in memory, the rest row-major.
    inputs: Vec<(Vec<usize>, bool)>,
    /// Multiply-accumulates of the forward; the backward of a product makes twice as many.
    macs: usize,
    op: Op,
}

pub fn run(args: &Args) -> Result<()> {
    let _format = args.precision.autocast()?;
    for case in cases() {
        if args.filter.as_ref().is_some_and(|filter| !case.name.contains(filter.as_str())) {
            continue;
        }
        let (forward, backward) = measure(&case, args.repeat.max(1))?;
        let flops = |macs: usize, time: f64| 2.0 * macs as f64 / time / 1e9;
        let (fast, slow) = (flops(case.macs, forward), flops(2 * case.macs, backward));
        if args.json {
            let mut object = json!({ "kernel": case.name, "forward_ms": 1e3 * forward, "backward_ms": 1e3 * backward });
            if case.macs > 0 {
                object["forward_gflops"] = json!(fast);
                object["backward_gflops"] = json!(slow);
            }
            println!("{object}");
            continue;
        }
        let times = format!("{:<34} {:9.3} ms | {:9.3} ms", case.name, 1e3 * forward, 1e3 * backward);
        if case.macs > 0 {
            println!("{times}   {fast:6.1} | {slow:6.1} GFLOP/s");
        } else {
            println!("{times}");
        }
    }
    Ok(())
}

/// Median seconds of (forward, backward), with the gradient of every input.
fn measure(case: &Case, repeat: usize) -> Result<(f64, f64)> {
    let values = case
        .inputs
        .iter()
        .map(|(shape, _)| Tensor::randn(0f32, 1.0, shape.as_slice(), &Device::Cpu)?.flatten_all()?.to_vec1::<f32>());
    let values = values.collect::<candle_core::Result<Vec<_>>>()?;
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let mut grad = None;
    for _ in 0..repeat + 2 {
        let tape = Tape::start();
        let inputs = case.inputs.iter().zip(&values).map(|((shape, image), values)| recorded(values, shape, *image));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let mut y = None;
        forward.push(seconds(|| {
            y = Some((case.op)(&inputs)?);
            Ok(())
        })?);
        drop(inputs);
        let Some(y) = y else { continue };
        let given = match grad.clone() {
            Some(grad) => grad,
            None => match y.dims4() {
                Ok((n, c, h, w)) => Tensor::randn(0f32, 1.0, (n, h, w, c), &Device::Cpu)?.permute((0, 3, 1, 2))?,
                Err(_) => Tensor::randn(0f32, 1.0, y.dims(), &Device::Cpu)?,
            },
        };
        grad = Some(given.clone());
        let loss = emit(Output::contiguous(vec![0.0], &[]), &[&y], Give(Some(given)))?;
        drop(y);
        backward.push(seconds(|| Ok(tape.backward(&loss)?))?);
    }
    Ok((median(forward[2..].to_vec()), median(backward[2..].to_vec())))
}

/// Gives a fixed gradient to its input: the loss of a measurement costs nothing.
struct Give(Option<Tensor>);

impl Backward for Give {
    fn backward(&self, _grad: &Tensor, _needs: &[bool]) -> tallow_nn::Result<Vec<Option<Tensor>>> {
        Ok(vec![self.0.clone()])
    }
}

/// A tensor as an op of ours would have left it, so that its gradient is asked for.
fn recorded(values: &[f32], shape: &[usize], image: bool) -> Result<Tensor> {
    let output = match *shape {
        [n, h, w, c] if image => Output::channels_last(values.to_vec(), (n, h, w, c)),
        _ => Output::contiguous(values.to_vec(), shape),
    };
    let variable = Var::zeros(1, candle_core::DType::F32, &Device::Cpu)?;
    Ok(emit(output, &[variable.as_tensor()], Give(None))?)
}

/// The ImageNet and CIFAR shapes that decide a training step.
fn cases() -> Vec<Case> {
    const N: usize = 64;
    let mut cases = Vec::new();
    // (inputs, outputs, size, kernel, stride, groups)
    for (c, o, size, k, stride, groups) in [
        (64, 64, 32, 3, 1, 1),
        (128, 128, 16, 3, 1, 1),
        (256, 256, 8, 3, 1, 1),
        (512, 512, 4, 3, 1, 1),
        (64, 128, 32, 1, 1, 1),
        (64, 128, 32, 3, 2, 1),
        (96, 96, 16, 3, 1, 96),
        (240, 240, 14, 5, 1, 240),
        (3, 64, 32, 3, 1, 1),
        (1, 32, 28, 3, 1, 1),
        (3, 16, 224, 3, 2, 1),
    ] {
        let config = ConvConfig { stride: (stride, stride), padding: (k / 2, k / 2), dilation: (1, 1), groups };
        let n = if size == 224 { 32 } else { N };
        let out = (size + 2 * (k / 2) - k) / stride + 1;
        cases.push(Case {
            name: format!("conv {c}→{o} {size}² {k}×{k}/{stride} g{groups}"),
            inputs: vec![(vec![n, size, size, c], true), (vec![o, c / groups, k, k], false)],
            macs: n * out * out * o * (c / groups) * k * k,
            op: Box::new(move |t| conv2d(&t[0], &t[1], None, config)),
        });
    }
    for (rows, inputs, outputs) in [(3152, 192, 768), (3152, 768, 192), (3152, 192, 576)] {
        cases.push(Case {
            name: format!("linear {rows}×{inputs}→{outputs}"),
            inputs: vec![(vec![rows, inputs], false), (vec![outputs, inputs], false), (vec![outputs], false)],
            macs: rows * inputs * outputs,
            op: Box::new(|t| linear(&t[0], &t[1], Some(&t[2]))),
        });
    }
    for (b, n, heads, d) in [(16, 197, 3, 64), (64, 64, 4, 32)] {
        cases.push(Case {
            name: format!("attention {b}×{n} {heads}×{d}"),
            inputs: vec![(vec![b, n, 3 * heads * d], false)],
            macs: 2 * b * n * n * heads * d,
            op: Box::new(move |t| attention_qkv(&t[0], heads, 0.125, None)),
        });
    }
    let image = |name: &str, shape: [usize; 4], vectors: &[usize], op: Op| Case {
        name: format!("{name} {}×{}²×{}", shape[0], shape[1], shape[3]),
        inputs: std::iter::once((shape.to_vec(), true)).chain(vectors.iter().map(|c| (vec![*c], false))).collect(),
        macs: 0,
        op,
    };
    cases.push(image(
        "batch_norm+relu",
        [N, 32, 32, 64],
        &[64, 64],
        Box::new(|t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Activation::Relu)?.0)),
    ));
    cases.push(image(
        "max_pool 2×2",
        [N, 32, 32, 64],
        &[],
        Box::new(|t| max_pool2d(&t[0], PoolConfig::square(2, 2, 0))),
    ));
    cases.push(image(
        "max_pool 3×3/2",
        [N, 32, 32, 64],
        &[],
        Box::new(|t| max_pool2d(&t[0], PoolConfig::square(3, 2, 1))),
    ));
    cases.push(image("global_avg_pool", [N, 32, 32, 64], &[], Box::new(|t| global_avg_pool(&t[0]))));
    for (name, activation) in [
        ("relu", Activation::Relu),
        ("gelu", Activation::Gelu),
        ("silu", Activation::Silu),
        ("hardswish", Activation::Hardswish),
    ] {
        cases.push(image(name, [N, 32, 32, 64], &[], Box::new(move |t| activate(&t[0], activation))));
    }
    cases.push(Case {
        name: "squeeze-excite gates 64×32²×64".to_owned(),
        inputs: vec![(vec![N, 32, 32, 64], true), (vec![N, 64], false)],
        macs: 0,
        op: Box::new(|t| scale_channels(&t[0], &t[1])),
    });
    cases.push(Case {
        name: "layer_norm 3152×192".to_owned(),
        inputs: vec![(vec![3152, 192], false), (vec![192], false), (vec![192], false)],
        macs: 0,
        op: Box::new(|t| layer_norm(&t[0], &t[1], &t[2], 1e-6)),
    });
    cases
}
