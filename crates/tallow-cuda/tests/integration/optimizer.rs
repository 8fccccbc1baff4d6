//! The optimisers: against tallow-optim on large odd tensors, and against the trajectories of PyTorch and timm.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device as Candle, Tensor};
use serde::Deserialize;
use tallow_cuda::op::optimizer::Rates;
use tallow_cuda::{Device, Result};
use tallow_nn::{Gradients, Init, ParamStore};
use tallow_optim::OptimConfig;
use tallow_optim::optimizer::{OptimMethod, Param};

use super::optimizer_cases::{groups, step, values};
use crate::backend::on_each_device;
use crate::support::close;

on_each_device!(trajectories_are_pytorchs_and_timms, steps_are_the_cpus);

#[derive(Deserialize)]
struct Case {
    config: OptimConfig,
    #[serde(default)]
    classifier: Option<String>,
    #[serde(default)]
    cycled_momentum: bool,
    parameters: BTreeMap<u64, Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct More {
    shapes: BTreeMap<String, Vec<usize>>,
    cases: Vec<Case>,
}

fn recorded(name: &str) -> String {
    let path = format!("{}/../../fixtures/train/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Parameters with these names and shapes, and the first values of the fixtures' scripts.
fn store(shapes: &[(&str, Vec<usize>)]) -> ParamStore {
    let (_, store) = ParamStore::build(0, &Candle::Cpu, |b| {
        shapes.iter().try_for_each(|(name, shape)| match *name {
            "head" => b.pp("head").param("weight", shape, Init::ZEROS).map(|_| ()),
            name => b.param(name, shape, Init::ZEROS).map(|_| ()),
        })
    })
    .unwrap();
    for (phase, (name, var)) in store.parameters().enumerate() {
        let values: Vec<f32> = (0..var.elem_count()).map(|i| (0.9 * i as f64 + phase as f64).sin() as f32).collect();
        store.set(name, &Tensor::from_vec(values, var.dims(), &Candle::Cpu).unwrap()).unwrap();
    }
    store
}

/// g = c·(p − target) + 0.1·sin(0.37·t + i), as the scripts have it.
fn gradient(t: u64, values: &[f32]) -> Vec<f32> {
    let gradient = |(i, p): (usize, &f32)| {
        let i = i as f64;
        let (c, target) = ((0.2 + 0.05 * i) as f32, (0.5 - 0.1 * i) as f32);
        c * (p - target) + (0.1 * (0.37 * t as f64 + i).sin()) as f32
    };
    values.iter().enumerate().map(gradient).collect()
}

fn trajectories_are_pytorchs_and_timms<D: Device>(device: &D) -> Result<()> {
    let first: Vec<Case> = serde_json::from_str(&recorded("optimizers")).unwrap();
    let more: More = serde_json::from_str(&recorded("more_optimizers")).unwrap();
    let shapes = vec![("weight", vec![3, 4]), ("bias", vec![4])];
    let more_shapes: Vec<_> =
        ["conv", "weight", "bias", "head"].into_iter().map(|name| (name, more.shapes[name].clone())).collect();
    let cases = first.into_iter().map(|case| (case, &shapes)).chain(more.cases.into_iter().map(|c| (c, &more_shapes)));
    let mut compared = 0;
    let mut names = BTreeSet::new();
    for (case, shapes) in cases {
        // Lookahead and SAM go round an optimiser; they have tests of their own.
        if case.config.common.lookahead.is_some() || case.config.common.sam.is_some() {
            continue;
        }
        let store = store(shapes);
        let params = case.config.common.params(&store, case.classifier.as_deref());
        let mut groups = groups(device, &case.config, params)?;
        for t in 1..=100 {
            let momentum = case.cycled_momentum.then_some(0.95 - 0.001 * t as f64);
            let rates = Rates { lr: case.config.lr(), decay_scale: 1.0, momentum };
            step(device, &mut groups, t, rates, |_, values| gradient(t, values))?;
            if let Some(expected) = case.parameters.get(&t) {
                for (found, expected) in values(device, &groups)?.iter().zip(expected) {
                    close(&format!("{:?} at {t}", case.config), found, expected, 5e-6);
                    compared += 1;
                }
            }
        }
        names.insert(name(&case.config));
    }
    assert_eq!(names.len(), OptimMethod::NAMES.len(), "{names:?}");
    assert!(compared > 100, "{compared}");
    Ok(())
}

fn name(config: &OptimConfig) -> String {
    let text = serde_json::to_value(config).unwrap();
    text["name"].as_str().unwrap().to_owned()
}

/// Every optimiser with decay and its options, on tensors of several chunks.
fn steps_are_the_cpus<D: Device>(device: &D) -> Result<()> {
    let shapes = [("conv", vec![7, 5, 3, 3]), ("tall", vec![40, 19]), ("bias", vec![16_400]), ("head", vec![9, 13])];
    let mut configs: Vec<String> =
        OptimMethod::NAMES.iter().map(|name| format!(r#"{{ "name": "{name}", "weight_decay": 0.05 }}"#)).collect();
    configs.extend(
        [
            r#"{ "name": "sgd", "momentum": 0.0, "weight_decay": 0.1, "decoupled": true }"#,
            r#"{ "name": "nadam", "decoupled": true, "weight_decay": 0.1, "layer_decay": 0.8 }"#,
            r#"{ "name": "rmsprop_tf", "momentum": 0.9, "centered": true, "lr_in_momentum": false, "decoupled": true, "weight_decay": 0.1 }"#,
            r#"{ "name": "lamb", "trust_clip": true, "always_adapt": true, "max_grad_norm": 0.0 }"#,
            r#"{ "name": "lars", "momentum": 0.9, "nesterov": true, "trust_clip": true, "always_adapt": true, "lr": 0.1 }"#,
            r#"{ "name": "adan", "no_prox": true, "weight_decay": 0.1 }"#,
            r#"{ "name": "muon", "nesterov": false, "adjust_lr": "original", "fallback_lr_scale": 0.5 }"#,
        ]
        .map(str::to_owned),
    );
    for text in configs {
        let config: OptimConfig = serde_json::from_str(&text).unwrap();
        let store = store(&shapes.clone().map(|(name, shape)| (name, shape)));
        let params: Vec<Param> = config.common.params(&store, Some("head"));
        let mut groups = groups(device, &config, params)?;
        let mut optimizer = config.build(&store, Some("head"));
        for t in 1..=4 {
            let lr = config.lr() / t as f64;
            let mut grads = Gradients::default();
            let before: Vec<Vec<f32>> =
                store.parameters().map(|(_, var)| var.flatten_all().and_then(|v| v.to_vec1()).unwrap()).collect();
            // Small values: the recorded gradient grows with the place.
            let slope = |values: &[f32]| -> Vec<f32> {
                values.iter().enumerate().map(|(i, p)| p - ((i + t as usize) as f32).sin()).collect()
            };
            for ((_, var), values) in store.parameters().zip(&before) {
                grads.insert(var, Tensor::from_vec(slope(values), var.dims(), &Candle::Cpu).unwrap());
            }
            let decay_scale = 1.0 / t as f64;
            let rates = tallow_optim::Rates { decay_scale, ..tallow_optim::Rates::new(lr) };
            optimizer.step(&grads, rates).unwrap();
            step(device, &mut groups, t, Rates { lr, decay_scale, momentum: None }, |place, _| slope(&before[place]))?;
            for (found, (name, var)) in values(device, &groups)?.iter().zip(store.parameters()) {
                let want: Vec<f32> = var.flatten_all().and_then(|v| v.to_vec1()).unwrap();
                close(&format!("{text}, {name} after {t}"), found, &want, 2e-5);
            }
        }
    }
    Ok(())
}
