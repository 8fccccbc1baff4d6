//! Several forward passes in one rayon pool: while a kernel of one pass waits for its tasks, its thread may run another
//! pass from beginning to end. Neither may see what the other keeps on the thread.

use crate::common::{flat, random};
use candle_core::{Device, Tensor};
use tallow_nn::graph::trace;
use tallow_nn::layers::{Activation, BatchNorm2d, Conv2d, Conv2dOptions, Linear};
use tallow_nn::op::global_avg_pool;
use tallow_nn::{Builder, Init, Mode, ParamStore, Result, Tape, keep_packed_weights, macs};

/// Channels: enough for several panels of weights, which are packed in parallel.
const WIDTH: usize = 64;

struct Net {
    convs: Vec<(Conv2d, BatchNorm2d)>,
    head: Linear,
}

impl Net {
    fn new(b: &Builder) -> Result<Self> {
        let options = Conv2dOptions { padding: 1, ..Default::default() };
        let convs = [(8, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH)].iter().enumerate().map(|(i, (inputs, outputs))| {
            let b = b.pp(i);
            let conv = Conv2d::new(*inputs, *outputs, 3, options, &b.pp("conv"))?;
            Ok((conv, BatchNorm2d::new(*outputs, Default::default(), &b.pp("norm"))?))
        });
        let convs = convs.collect::<Result<Vec<_>>>()?;
        Ok(Net { convs, head: Linear::new(WIDTH, 5, true, Init::Normal(0.3), &b.pp("head"))? })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for (conv, norm) in &self.convs {
            x = norm.forward_conv(conv, &x, Activation::Relu, mode)?;
        }
        self.head.forward(&global_avg_pool(&x)?)
    }
}

fn net(seed: u64) -> (Net, ParamStore) {
    ParamStore::build(seed, &Device::Cpu, Net::new).unwrap()
}

fn images() -> Tensor {
    random(1, &[6, 8, 9, 7])
}

/// The gradient of every parameter after one training pass.
fn train(seed: u64) -> Vec<f32> {
    let (net, store) = net(seed);
    let tape = Tape::start();
    let loss = net.forward(&images(), &Mode::train(seed, 0)).unwrap().sqr().unwrap().sum_all().unwrap();
    let grads = tape.backward(&loss).unwrap();
    store.parameters().flat_map(|(name, parameter)| flat(grads.get(parameter).expect(name))).collect()
}

/// The logits of two evaluations, the second of which finds its weights packed.
fn evaluate(seed: u64) -> Vec<f32> {
    let (net, _store) = net(seed);
    let _kept = keep_packed_weights();
    (0..2).flat_map(|_| flat(&net.forward(&images(), &Mode::eval()).unwrap())).collect()
}

/// Multiply-accumulates of one pass.
fn count(seed: u64) -> Vec<f32> {
    let (net, _store) = net(seed);
    let (result, count) = macs::count(|| net.forward(&images(), &Mode::eval()));
    assert_eq!(result.unwrap().dims(), [6, 5]);
    vec![count as f32]
}

/// The ops of a traced pass, by number.
fn traced(seed: u64) -> Vec<f32> {
    let (net, _store) = net(seed);
    vec![trace((8, 9, 7), |images| net.forward(images, &Mode::eval())).unwrap().nodes.len() as f32]
}

type Pass = fn(u64) -> Vec<f32>;

/// Runs passes of these kinds in one pool and compares each with the same pass run alone.
fn check(kinds: &[Pass]) {
    const ROUNDS: usize = 10;
    const PASSES: usize = 12;
    let alone: Vec<Vec<f32>> = (0..PASSES).map(|i| kinds[i % kinds.len()](i as u64 / 3)).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for round in 0..ROUNDS {
        let mut results: Vec<Option<Vec<f32>>> = vec![None; PASSES];
        pool.scope(|scope| {
            for (i, result) in results.iter_mut().enumerate() {
                scope.spawn(move |_| *result = Some(kinds[i % kinds.len()](i as u64 / 3)));
            }
        });
        for (i, (result, alone)) in results.iter().zip(&alone).enumerate() {
            assert!(result.as_ref() == Some(alone), "round {round}, pass {i}: another result than alone");
        }
    }
}

#[test]
fn training_passes_keep_their_tapes() {
    check(&[train]);
}

#[test]
fn evaluations_keep_their_packed_weights() {
    check(&[evaluate]);
}

#[test]
fn passes_of_all_kinds_share_a_pool() {
    check(&[train, evaluate, count, traced]);
}
