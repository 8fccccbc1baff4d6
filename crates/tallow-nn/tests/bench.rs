//! Times of the kernels, forward and backward: `cargo test -p tallow-nn --test bench -- --ignored --nocapture`.

mod common;

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use common::{flat, random, variable};
use tallow_nn::kernels::activation::{Activation, activate};
use tallow_nn::kernels::dropout::dropout;
use tallow_nn::kernels::linear::linear;
use tallow_nn::kernels::norm::{batch_norm_train, layer_norm};
use tallow_nn::kernels::pool::{PoolConfig, avg_pool2d, global_avg_pool, global_max_pool, max_pool2d};
use tallow_nn::kernels::softmax::softmax;
use tallow_nn::rng::keyed;
use tallow_nn::tape::{Backward, Output, emit};
use tallow_nn::{Result, Tape};

/// Gives a fixed gradient to its input: the loss of a measurement costs nothing.
struct Give(Option<Tensor>);

impl Backward for Give {
    fn backward(&self, _grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![self.0.clone()])
    }
}

/// A recorded tensor, as an op of ours would have left it; channels-last if it has four dimensions.
fn source(values: &[f32], shape: &[usize]) -> Tensor {
    let output = match *shape {
        [n, h, w, c] => Output::channels_last(values.to_vec(), (n, h, w, c)),
        _ => Output::contiguous(values.to_vec(), shape),
    };
    let variable = variable(&Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
    emit(output, &[&variable], Give(None)).unwrap()
}

/// Best of several runs, and the traffic that the forward cannot avoid: `passes` over the first input.
fn report(label: &str, passes: f64, shapes: &[&[usize]], op: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let values: Vec<Vec<f32>> = shapes.iter().enumerate().map(|(i, s)| flat(&random(i as u64, s))).collect();
    let (mut forward, mut backward) = (f64::MAX, f64::MAX);
    let mut grad: Option<Tensor> = None;
    for _ in 0..15 {
        let tape = Tape::start();
        let inputs: Vec<Tensor> = values.iter().zip(shapes).map(|(v, s)| source(v, s)).collect();
        let start = Instant::now();
        let y = op(&inputs).unwrap();
        forward = forward.min(start.elapsed().as_secs_f64() * 1e3);
        let grad = grad.get_or_insert_with(|| match y.dims4() {
            Ok((n, c, h, w)) => random(9, &[n, h, w, c]).permute((0, 3, 1, 2)).unwrap(),
            Err(_) => random(9, y.dims()),
        });
        let loss = emit(Output::contiguous(vec![0.0], &[]), &[&y], Give(Some(grad.clone()))).unwrap();
        drop((y, inputs));
        let start = Instant::now();
        tape.backward(&loss).unwrap();
        backward = backward.min(start.elapsed().as_secs_f64() * 1e3);
    }
    let rate = passes * values[0].len() as f64 * 4e-6 / forward;
    println!("{label:<24} forward {forward:7.2} ms ({rate:5.1} GB/s)   backward {backward:7.2} ms");
}

#[test]
#[ignore = "a measurement"]
fn bench() {
    let image: &[usize] = &[128, 28, 28, 64]; // as they lie: [n, h, w, c]
    let vector: &[usize] = &[64];
    for activation in [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::Hardswish] {
        report(&format!("batch_norm {activation:?}"), 3.0, &[image, vector, vector], |t| {
            Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, activation)?.0)
        });
    }
    for activation in [Activation::Relu, Activation::Gelu, Activation::Silu, Activation::Hardswish] {
        report(&format!("activate {activation:?}"), 2.0, &[image], |t| activate(&t[0], activation));
    }
    report("max_pool 2×2/2", 1.25, &[image], |t| max_pool2d(&t[0], PoolConfig::square(2, 2, 0)));
    report("max_pool 3×3/2", 1.25, &[image], |t| max_pool2d(&t[0], PoolConfig::square(3, 2, 1)));
    report("avg_pool 2×2/2", 1.25, &[image], |t| avg_pool2d(&t[0], PoolConfig::square(2, 2, 0), true));
    report("global_avg_pool", 1.0, &[image], |t| global_avg_pool(&t[0]));
    report("global_max_pool", 1.0, &[image], |t| global_max_pool(&t[0]));
    report("dropout", 2.0, &[image], |t| dropout(&t[0], 0.1, keyed(1, 2, 3, 4)));
    for d in [64, 192, 768] {
        let rows: &[usize] = &[image.iter().product::<usize>() / d, d];
        report(&format!("layer_norm {d}"), 2.0, &[rows, &[d], &[d]], |t| layer_norm(&t[0], &t[1], &t[2], 1e-6));
        report(&format!("softmax {d}"), 2.0, &[rows], |t| softmax(&t[0]));
    }
    let tokens: [&[usize]; 3] = [&[16 * 197, 192], &[768, 192], &[768]];
    report("linear 3152×192→768", 1.0, &tokens, |t| linear(&t[0], &t[1], Some(&t[2])));
}
