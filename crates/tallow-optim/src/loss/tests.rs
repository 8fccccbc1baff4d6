//! Losses against recorded values and gradients of PyTorch, timm, torchvision and papers' formulas.

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use tallow_nn::Tape;

use super::*;
use crate::Error;

#[derive(Deserialize)]
struct Recorded {
    n: usize,
    classes: usize,
    class_counts: Vec<usize>,
    logits: Vec<f32>,
    labels: Vec<u32>,
    soft: Vec<f32>,
    multi: Vec<f32>,
    cases: Vec<Case>,
    jsd: Jsd,
}

#[derive(Deserialize)]
struct Case {
    config: LossConfig,
    targets: String,
    weights: Option<Vec<f32>>,
    epoch: u64,
    loss: f32,
    gradient: Vec<f32>,
}

#[derive(Deserialize)]
struct Jsd {
    splits: usize,
    alpha: f64,
    label_smoothing: f64,
    loss: f32,
    gradient: Vec<f32>,
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../../../fixtures/train/losses.json")).expect("the fixture")
}

fn check(what: &str, loss: &dyn Loss, all: &Recorded, targets: Targets<'_>, expected: (f32, &[f32])) -> Result<()> {
    let logits = Var::from_vec(all.logits.clone(), (all.n, all.classes), &Device::Cpu)?;
    let tape = Tape::start();
    let loss = loss.loss(&logits, targets)?;
    let value = loss.to_scalar::<f32>()?;
    // Twice the loss, so that the gradient of the output is seen to be used.
    let grads = tape.backward(&(loss * 2.0)?)?;
    let gradient = grads.get(&logits).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
    assert!((value - expected.0).abs() < 1e-5 * expected.0.abs().max(1.0), "{what}: {value} for {}", expected.0);
    for (i, (found, expected)) in gradient.iter().zip(expected.1).enumerate() {
        let error = (found / 2.0 - expected).abs() / expected.abs().max(1.0);
        assert!(error < 1e-5, "{what}: gradient {i} is {} for {expected}", found / 2.0);
    }
    assert_eq!(gradient.len(), expected.1.len());
    Ok(())
}

#[test]
fn values_and_gradients_equal_the_originals() -> Result<()> {
    let all = recorded();
    assert!(all.cases.len() >= 36, "{}", all.cases.len());
    let context = LossContext { class_counts: all.class_counts.clone() };
    for case in &all.cases {
        let loss = case.config.build(&context)?;
        loss.start_epoch(case.epoch);
        let soft = match case.targets.as_str() {
            "soft" => Some(all.soft.as_slice()),
            "multi" => Some(all.multi.as_slice()),
            _ => None,
        };
        let targets = Targets { labels: &all.labels, soft, weights: case.weights.as_deref() };
        let what = format!("{:?} of {}", case.config, case.targets);
        check(&what, loss.as_ref(), &all, targets, (case.loss, &case.gradient))?;
        assert_eq!(case.config.validate(), Ok(()), "{what}");
    }
    Ok(())
}

#[test]
fn jensen_shannon_divergence_equals_timms() -> Result<()> {
    let all = recorded();
    let Jsd { splits, alpha, label_smoothing, loss, gradient } = &all.jsd;
    let jsd = JsdCrossEntropy { splits: *splits, alpha: *alpha, label_smoothing: *label_smoothing };
    check("jsd", &jsd, &all, Targets::of_labels(&all.labels), (*loss, gradient))?;
    let odd = Tensor::zeros((4, 5), candle_core::DType::F32, &Device::Cpu)?;
    assert!(matches!(jsd.loss(&odd, Targets::of_labels(&[0; 4])), Err(Error::Labels { .. })));
    Ok(())
}

#[test]
fn sample_weights_of_one_change_nothing_and_of_nothing_leave_a_sample_out() -> Result<()> {
    let all = recorded();
    let context = LossContext { class_counts: all.class_counts.clone() };
    let half = 3 * all.classes;
    for case in all.cases.iter().filter(|case| case.weights.is_none()) {
        let loss = case.config.build(&context)?;
        loss.start_epoch(case.epoch);
        let value = |logits: &[f32], labels: &[u32], weights: Option<&[f32]>| -> Result<f32> {
            let logits = Tensor::from_slice(logits, (labels.len(), all.classes), &Device::Cpu)?;
            Ok(loss.loss(&logits, Targets { labels, soft: None, weights })?.to_scalar()?)
        };
        let plain = value(&all.logits, &all.labels, None)?;
        let alike = value(&all.logits, &all.labels, Some(&[1.0; 6]))?;
        assert!((plain - alike).abs() < 1e-5, "{:?}: {plain}, {alike}", case.config);
        let first = value(&all.logits[..half], &all.labels[..3], None)?;
        let left_out = value(&all.logits, &all.labels, Some(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))?;
        assert!((first - left_out).abs() < 1e-4 * first.max(1.0), "{:?}: {first}, {left_out}", case.config);
    }
    Ok(())
}

#[test]
fn large_logits_give_finite_gradients() -> Result<()> {
    let all = recorded();
    let context = LossContext { class_counts: all.class_counts.clone() };
    for case in &all.cases {
        let logits = Var::from_vec(vec![200f32, -200.0, 0.0, -200.0, 90.0], (1, 5), &Device::Cpu)?;
        for label in 0..5 {
            let tape = Tape::start();
            let loss = case.config.build(&context)?.loss(&logits, Targets::of_labels(&[label]))?;
            let grads = tape.backward(&loss)?;
            let gradient = grads.get(&logits).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
            assert!(gradient.iter().all(|g| g.is_finite()), "{:?} label {label}: {gradient:?}", case.config);
            assert!(loss.to_scalar::<f32>()?.is_finite(), "{:?} label {label}", case.config);
        }
    }
    Ok(())
}

#[test]
fn losses_that_need_class_counts_say_so() {
    for name in ["ldam", "class_balanced"] {
        let config: LossConfig = serde_json::from_value(serde_json::json!({ "name": name })).expect(name);
        let refused = config.build(&LossContext::default()).map(|_| ());
        assert!(matches!(&refused, Err(Error::ClassCounts { loss }) if *loss == name), "{refused:?}");
    }
}
