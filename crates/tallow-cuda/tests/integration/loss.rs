//! The cross-entropy: labels, soft targets, smoothing and weights, against the loss of tallow-optim.

use candle_core::{Device as Candle, Tensor, Var};
use tallow_cuda::op::loss::{self, Results, Targets};
use tallow_cuda::{Array, Bf16, Device, Result, Storage};
use tallow_kernels::cpu::softmax as cpu;
use tallow_nn::Tape;
use tallow_optim::Loss as _;
use tallow_optim::loss::{CrossEntropy, CrossEntropyConfig, LossContext};

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(losses_and_gradients, targets_have_a_gradient, labels_that_are_no_class_are_not_finite, summaries);

/// The loss and the gradient of the logits by tallow-optim.
fn on_cpu(
    logits: &[f32],
    k: usize,
    labels: &[u32],
    soft: Option<&[f32]>,
    weights: Option<&[f32]>,
    config: &CrossEntropyConfig,
) -> (f32, Vec<f32>) {
    let z = Var::from_slice(logits, (labels.len(), k), &Candle::Cpu).unwrap();
    let tape = Tape::start();
    let loss = CrossEntropy::new(config, &LossContext::default()).unwrap();
    let loss = loss.loss(&z, tallow_optim::Targets { labels, soft, weights }).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    let gradient = gradients.get(&z).unwrap().flatten_all().and_then(|g: Tensor| g.to_vec1()).unwrap();
    (loss.to_scalar().unwrap(), gradient)
}

fn losses_and_gradients<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (n, k) in [(1, 1), (5, 3), (13, 10), (9, 101)] {
            let logits: Vec<f32> = random::<T>(n * k, 1).iter().map(|z| T::from_f32(4.0 * z).to_f32()).collect();
            let labels: Vec<u32> = (0..n).map(|i| (i * 7 % k) as u32).collect();
            let soft: Vec<f32> = random::<f32>(n * k, 2).iter().map(|t| t.abs()).collect();
            let weights: Vec<f32> = random::<f32>(n, 3).iter().map(|w| w.abs() + 0.1).collect();
            let class_weights: Vec<f32> = random::<f32>(k, 4).iter().map(|w| w.abs() + 0.1).collect();
            let z = put::<D, T>(device, &logits)?;
            let labels_there = Array::upload(device, &labels)?;
            let [soft_there, weights_there, class_there] =
                [&soft, &weights, &class_weights].map(|values| put::<D, f32>(device, values));
            let (soft_there, weights_there, class_there) = (soft_there?, weights_there?, class_there?);
            for case in 0..16 {
                let [is_soft, is_smooth, is_weighted, by_class] = [1, 2, 4, 8].map(|bit| case & bit != 0);
                let smoothing = if is_smooth { 0.1 } else { 0.0 };
                let targets = Targets {
                    labels: Some(labels_there.view()),
                    soft: is_soft.then(|| soft_there.view()),
                    weights: is_weighted.then(|| weights_there.view()),
                    class_weights: by_class.then(|| class_there.view()),
                    smoothing: smoothing as f32,
                };
                let (mut losses, mut correct) = (room::<D, f64>(device, n)?, room::<D, u32>(device, n)?);
                let mut gradient = room::<D, T>(device, n * k)?;
                let results = Results {
                    losses: losses.view_mut(),
                    correct: Some(correct.view_mut()),
                    gradient: Some(gradient.view_mut()),
                };
                loss::cross_entropy(device, z.view(), k, targets, 1.0 / n as f32, results)?;
                let config = CrossEntropyConfig {
                    label_smoothing: smoothing,
                    class_weights: by_class.then(|| class_weights.clone()),
                };
                let (soft, weights) = (is_soft.then_some(&soft[..]), is_weighted.then_some(&weights[..]));
                let (want, want_gradient) = on_cpu(&logits, k, &labels, soft, weights, &config);
                let found = losses.download(device)?.iter().sum::<f64>() / n as f64;
                let what = format!("{n}×{k}, case {case}");
                close(&what, &[found as f32], &[want], 1e-5);
                close(&what, &get(device, &gradient)?, &want_gradient, tolerance::<T>());
                let first_of_largest = |row: &[f32]| (0..k).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
                let right: Vec<u32> = logits
                    .chunks(k)
                    .zip(&labels)
                    .map(|(row, label)| (first_of_largest(row) == *label as usize).into())
                    .collect();
                assert_eq!(correct.download(device)?, right, "{what}");
            }
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn targets_have_a_gradient<D: Device>(device: &D) -> Result<()> {
    let (n, k) = (6, 37);
    let logits = random::<f32>(n * k, 1);
    let (z, mut found) = (put::<D, f32>(device, &logits)?, room::<D, f32>(device, n * k)?);
    loss::target_grad(device, z.view(), k, 0.25, found.view_mut())?;
    close("the targets' gradient", &get(device, &found)?, &cpu::target_grad(&logits, k, 0.25), 1e-5);
    Ok(())
}

fn labels_that_are_no_class_are_not_finite<D: Device>(device: &D) -> Result<()> {
    let z = put::<D, f32>(device, &random::<f32>(6, 1))?;
    let labels = Array::upload(device, &[2u32, 3])?;
    let class_weights = put::<D, f32>(device, &[1.0; 3])?;
    for class_weights in [None, Some(class_weights.view())] {
        let mut losses = room::<D, f64>(device, 2)?;
        let targets = Targets { labels: Some(labels.view()), class_weights, ..Targets::default() };
        let results = Results::<f32> { losses: losses.view_mut(), correct: None, gradient: None };
        loss::cross_entropy(device, z.view(), 3, targets, 1.0, results)?;
        assert!(losses.download(device)?[1].is_nan());
    }
    Ok(())
}

fn summaries<D: Device>(device: &D) -> Result<()> {
    for n in [1, 300] {
        let mut losses: Vec<f64> = (0..n).map(|i| i as f64 / 7.0).collect();
        let correct: Vec<u32> = (0..n).map(|i| u32::from(i % 3 == 0)).collect();
        let mean = losses.iter().sum::<f64>() / n as f64;
        for finite in [n, n - 1] {
            if finite < n {
                losses[n / 2] = f64::NAN;
            }
            let (there, right) = (Array::upload(device, &losses)?, Array::upload(device, &correct)?);
            let mut summary = room::<D, u32>(device, 3)?;
            loss::summarise(device, there.view(), Some(right.view()), summary.view_mut())?;
            let [loss, hits, counted] = summary.download(device)?[..] else { panic!("three numbers") };
            assert_eq!((hits, counted as usize), (correct.iter().sum(), finite));
            let loss = f32::from_bits(loss);
            assert!(if finite == n { (loss - mean as f32).abs() < 1e-4 } else { loss.is_nan() }, "{loss}");
        }
    }
    Ok(())
}
