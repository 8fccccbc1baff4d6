//! The first 50 losses equal PyTorch's, from the same weights and in the same batch order.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::common::{Run, config, run};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use tallow_data::{OpenOptions, Subset};
use tallow_models::BuiltModel;
use tallow_optim::loss::{Loss, Targets};
use tallow_train::Result;

#[derive(Deserialize)]
struct Recorded {
    losses: Vec<f32>,
}

/// The weights of fixtures/scripts/train.py: uniform in ±gain·√(3 / fan-in), from the position alone.
fn formula(shape: &[usize], index: usize) -> Vec<f32> {
    let gain = if shape.len() == 4 { 4.0 } else { 0.1 };
    let fan_in: usize = shape[1..].iter().product();
    let bound = gain * (3.0 / fan_in as f64).sqrt();
    let value = |i: usize| {
        let x = (i as u32).wrapping_add(1 + 1_000_003 * index as u32).wrapping_mul(2_654_435_761);
        let x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
        let x = x ^ (x >> 13);
        ((2.0 * f64::from(x) / 4_294_967_296.0 - 1.0) * bound) as f32
    };
    (0..shape.iter().product()).map(value).collect()
}

fn set_weights(built: BuiltModel) -> BuiltModel {
    let shapes: Vec<(String, Vec<usize>)> =
        built.store.parameters().map(|(name, var)| (name.to_owned(), var.dims().to_vec())).collect();
    for (index, (name, shape)) in shapes.iter().enumerate() {
        let tensor = match (shape.len(), name.as_str()) {
            (1, "8.bias") => Tensor::zeros(shape.as_slice(), candle_core::DType::F32, &Device::Cpu),
            (1, _) => continue,
            _ => Tensor::from_vec(formula(shape, index), shape.as_slice(), &Device::Cpu),
        };
        built.store.set(name, &tensor.expect("a weight")).expect("its place");
    }
    built
}

/// Keeps every loss.
struct Recording(Box<dyn Loss>, Rc<RefCell<Vec<f32>>>);

impl Loss for Recording {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> tallow_optim::Result<Tensor> {
        let loss = self.0.loss(logits, targets)?;
        self.1.borrow_mut().push(loss.to_scalar()?);
        Ok(loss)
    }
}

#[test]
fn first_50_losses_equal_pytorchs() -> Result<()> {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../../../../fixtures/train/first_50_losses.json")).expect("the fixture");
    let bundled = tallow_data::open("fashion-mnist-6k", &OpenOptions::default())?.train;
    let order = (0..50 * 32).map(|i| i * 7919 % 5000).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&[
        "data.sampler=sequential",
        "model.width=8",
        "augment.train=[]",
        "augment.eval=[]",
        "loss.label_smoothing=0",
        "optim={ name = \"sgd\", lr = 0.003, momentum = 0.9, nesterov = true, weight_decay = 5e-4 }",
        "schedule.name=constant",
        "train.epochs=1",
        "train.batch_size=32",
    ]);
    let never = std::sync::atomic::AtomicBool::new(false);
    let run =
        Run { prepare: &set_weights, ..run(config, Arc::new(Subset::new(bundled, order)?), folder.path(), &never) };
    let losses = Rc::new(RefCell::new(Vec::new()));
    run.fit(|loss| Box::new(Recording(loss, losses.clone())))?;
    let losses = losses.borrow();
    assert_eq!(losses.len(), recorded.losses.len());
    let differences = losses.iter().zip(&recorded.losses).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0f32, f32::max);
    assert!(worst < 1e-3, "off by {worst}:\n{losses:?}\n{:?}", recorded.losses);
    Ok(())
}
