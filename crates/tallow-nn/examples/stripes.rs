//! Trains a small convolutional network from scratch: it tells horizontal, vertical and diagonal stripes apart, under
//! noise.
//!
//! ```text
//! cargo run --release -p tallow-nn --example stripes
//! ```
//!
//! A model is a struct of layers with a forward pass. One step starts a tape, runs the forward pass and the loss, asks
//! the tape for gradients, and moves each parameter against its gradient (gradient descent with momentum).

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rand::Rng as _;
use tallow_nn::layers::{Activation, BatchNorm2d, Conv2d, Conv2dOptions, Linear};
use tallow_nn::op::{cross_entropy, global_avg_pool};
use tallow_nn::rng::keyed;
use tallow_nn::{Builder, Init, Mode, ParamStore, Result, Tape};

const SEED: u64 = 42;
const SIDE: usize = 16;
const CLASSES: usize = 3;
const BATCH: usize = 32;
const STEPS: u64 = 60;

/// Two convolutions, each followed by BatchNorm and ReLU, then the mean over the image and a linear classifier.
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn new(b: &Builder) -> Result<Self> {
        let options = Conv2dOptions { stride: 2, padding: 1, ..Default::default() };
        Ok(Net {
            conv1: Conv2d::new(1, 8, 3, options, &b.pp("conv1"))?,
            bn1: BatchNorm2d::new(8, Default::default(), &b.pp("bn1"))?,
            conv2: Conv2d::new(8, 16, 3, options, &b.pp("conv2"))?,
            bn2: BatchNorm2d::new(16, Default::default(), &b.pp("bn2"))?,
            fc: Linear::new(16, CLASSES, true, Init::Normal(0.01), &b.pp("fc"))?,
        })
    }

    /// `[n, 1, 16, 16]` → logits `[n, 3]`.
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.bn1.forward_conv(&self.conv1, images, Activation::Relu, mode)?;
        let x = self.bn2.forward_conv(&self.conv2, &x, Activation::Relu, mode)?;
        self.fc.forward(&global_avg_pool(&x)?)
    }
}

/// A batch of noisy stripes `[n, 1, 16, 16]`, and their classes.
fn batch(number: u64) -> Result<(Tensor, Vec<usize>)> {
    let mut rng = keyed(SEED, number, 0, 0);
    let classes: Vec<usize> = (0..BATCH).map(|_| rng.random_range(0..CLASSES)).collect();
    let mut values = Vec::with_capacity(BATCH * SIDE * SIDE);
    for class in &classes {
        let phase: f32 = rng.random_range(0.0..6.3);
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y as f32, x as f32))) {
            let along = [y, x, (x + y) * 0.7][*class];
            values.push((along * 1.3 + phase).sin() + rng.random_range(-1.0..1.0));
        }
    }
    Ok((Tensor::from_vec(values, (BATCH, 1, SIDE, SIDE), &Device::Cpu)?, classes))
}

/// Classes as probabilities `[n, 3]`.
fn one_hot(classes: &[usize]) -> Result<Tensor> {
    let values: Vec<f32> = classes.iter().flat_map(|c| (0..CLASSES).map(|i| f32::from(i == *c))).collect();
    Ok(Tensor::from_vec(values, (classes.len(), CLASSES), &Device::Cpu)?)
}

fn main() -> Result<()> {
    let (net, store) = ParamStore::build(SEED, &Device::Cpu, Net::new)?;
    println!("{} parameters", store.parameter_count());
    let (learning_rate, momentum) = (0.1, 0.9);
    let mut velocities: HashMap<&str, Tensor> = HashMap::new();
    for step in 0..STEPS {
        let (images, classes) = batch(step)?;
        let tape = Tape::start();
        let logits = net.forward(&images, &Mode::train(SEED, step))?;
        let loss = cross_entropy(&logits, &one_hot(&classes)?)?;
        let gradients = tape.backward(&loss)?;
        for (name, parameter) in store.parameters() {
            let gradient = gradients.get(parameter).expect("every parameter has a gradient");
            let velocity = match velocities.get(name) {
                Some(before) => ((before * momentum)? + gradient)?,
                None => gradient.clone(),
            };
            parameter.set(&(parameter.as_detached_tensor() - (&velocity * learning_rate)?)?)?;
            velocities.insert(name, velocity);
        }
        if step % 10 == 9 {
            println!("step {:2}: loss {:.4}", step + 1, loss.to_scalar::<f32>()?);
        }
    }
    let mut correct = 0;
    for number in 0..8 {
        let (images, classes) = batch(STEPS + number)?;
        let predicted = net.forward(&images, &Mode::eval())?.argmax(1)?.to_vec1::<u32>()?;
        correct += predicted.iter().zip(&classes).filter(|(p, c)| **p as usize == **c).count();
    }
    println!("accuracy on new images: {:.1} %", 100.0 * correct as f64 / (8 * BATCH) as f64);
    Ok(())
}
