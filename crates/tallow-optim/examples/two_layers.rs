//! Trains a two-layer network on two interleaved spirals, with nothing but Candle, the tape and this crate.
//!
//!     cargo run -p tallow-optim --example two_layers

use candle_core::{Device, Tensor};
use tallow_nn::{Init, ParamStore, Tape};
use tallow_optim::loss::{CrossEntropyConfig, LossConfig, LossContext, Targets};
use tallow_optim::optimizer::{AdamWConfig, OptimConfig, OptimMethod};
use tallow_optim::schedule::{CosineConfig, Schedule, ScheduleConfig, ScheduleMethod};
use tallow_optim::{Clipping, Ema};

const POINTS: usize = 400;
const HIDDEN: usize = 64;
const EPOCHS: u64 = 600;

/// Points of two spirals, `[n, 2]`, and the spiral of each.
fn spirals() -> candle_core::Result<(Tensor, Vec<u32>)> {
    let mut points = Vec::with_capacity(2 * POINTS);
    let mut labels = Vec::with_capacity(POINTS);
    for i in 0..POINTS {
        let (spiral, along) = (i % 2, i as f32 / POINTS as f32);
        let angle = 3.0 * std::f32::consts::PI * along + spiral as f32 * std::f32::consts::PI;
        let radius = 0.2 + along;
        points.extend([radius * angle.cos(), radius * angle.sin()]);
        labels.push(spiral as u32);
    }
    Ok((Tensor::from_vec(points, (POINTS, 2), &Device::Cpu)?, labels))
}

fn main() -> tallow_optim::Result<()> {
    let (points, labels) = spirals()?;
    let ([w1, b1, w2, b2], store) = ParamStore::build(0, &Device::Cpu, |b| -> tallow_nn::Result<_> {
        Ok([
            b.pp("hidden").param("weight", &[2, HIDDEN], Init::Normal(1.0))?,
            b.pp("hidden").param("bias", &[HIDDEN], Init::ZEROS)?,
            b.pp("head").param("weight", &[HIDDEN, 2], Init::Normal(0.1))?,
            b.pp("head").param("bias", &[2], Init::ZEROS)?,
        ])
    })?;
    let forward = || -> candle_core::Result<Tensor> {
        let hidden = points.matmul(&w1)?.broadcast_add(&b1)?.tanh()?;
        hidden.matmul(&w2)?.broadcast_add(&b2)
    };
    let accuracy = |logits: &Tensor| -> candle_core::Result<f64> {
        let predicted = logits.argmax(1)?.to_vec1::<u32>()?;
        let correct = predicted.iter().zip(&labels).filter(|(predicted, label)| predicted == label).count();
        Ok(correct as f64 / POINTS as f64)
    };

    let loss = LossConfig::CrossEntropy(CrossEntropyConfig::default()).build(&LossContext::default())?;
    let optim = OptimConfig::from(OptimMethod::AdamW(AdamWConfig::default()));
    let mut optimizer = optim.build(&store, Some("head"));
    let schedule = ScheduleConfig::from(ScheduleMethod::Cosine(CosineConfig::default()));
    let schedule = Schedule::new(&schedule, 0.03, 1, EPOCHS);
    let clipping = Clipping { norm: Some(1.0), ..Clipping::default() };
    let mut ema = Ema::new(0.99, &store)?;

    for step in 0..EPOCHS {
        let tape = Tape::start();
        let logits = forward()?;
        let value = loss.loss(&logits, Targets::of_labels(&labels))?;
        let mut grads = tape.backward(&value)?;
        clipping.apply(&mut grads, &store)?;
        optimizer.step(&grads, schedule.at(step))?;
        ema.update(&store, step + 1)?;
        if (step + 1) % 100 == 0 {
            let (value, accuracy) = (value.to_scalar::<f32>()?, 100.0 * accuracy(&logits)?);
            println!("step {:3}  loss {value:.4}  accuracy {accuracy:.1} %", step + 1);
        }
    }
    let averaged = ema.with_average(&store, || Ok::<_, tallow_optim::Error>(accuracy(&forward()?)?))?;
    println!("accuracy of the averaged weights: {:.1} %", 100.0 * averaged);
    Ok(())
}
