//! The values that fixtures/scripts/optimizers.py recorded, for the tests of several modules.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use tallow_nn::{Gradients, Init, ParamStore};

use super::OptimConfig;
use crate::Result;

#[derive(Deserialize)]
pub(crate) struct More {
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub cases: Vec<Trajectory>,
    pub clip: Clip,
    pub penalties: PenaltyCases,
    pub ema_warmup: EmaWarmup,
}

#[derive(Deserialize)]
pub(crate) struct EmaWarmup {
    pub decay: f64,
    pub weight: Vec<f32>,
}

#[derive(Deserialize)]
pub(crate) struct Trajectory {
    pub config: OptimConfig,
    pub classifier: Option<String>,
    /// Step → values of each parameter.
    pub parameters: BTreeMap<u64, Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
pub(crate) struct Clip {
    pub value: Clipped,
    pub agc: Clipped,
}

#[derive(Deserialize)]
pub(crate) struct Clipped {
    #[serde(alias = "factor")]
    pub limit: f64,
    pub gradients: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
pub(crate) struct PenaltyCases {
    pub l1: Penalty,
    pub orthogonal: Penalty,
    pub max_norm: MaxNorm,
}

#[derive(Deserialize)]
pub(crate) struct Penalty {
    pub strength: f64,
    pub gradients: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
pub(crate) struct MaxNorm {
    pub limit: f64,
    pub values: Vec<Vec<f32>>,
}

pub(crate) fn more() -> More {
    serde_json::from_str(include_str!("../../../../fixtures/train/more_optimizers.json")).expect("the fixture")
}

/// The script's parameters, in its order and with its first values.
pub(crate) fn parameters(more: &More) -> Result<ParamStore> {
    let names = ["conv", "weight", "bias", "head"];
    let (_, store) = ParamStore::build(0, &Device::Cpu, |b| {
        names.iter().try_for_each(|name| match *name {
            // A name that the classifier's pattern finds.
            "head" => b.pp("head").param("weight", &more.shapes[*name], Init::ZEROS).map(|_| ()),
            name => b.param(name, &more.shapes[name], Init::ZEROS).map(|_| ()),
        })
    })?;
    for (phase, (name, var)) in store.parameters().enumerate() {
        let values: Vec<f32> = (0..var.elem_count()).map(|i| (0.9 * i as f64 + phase as f64).sin() as f32).collect();
        store.set(name, &Tensor::from_vec(values, var.dims(), &Device::Cpu)?)?;
    }
    Ok(store)
}

/// g = c·(p − target) + 0.1·sin(0.37·t + i), as the scripts have it.
pub(crate) fn gradients(store: &ParamStore, t: u64) -> Result<Gradients> {
    let mut grads = Gradients::default();
    for (_, var) in store.parameters() {
        let gradient = |(i, p): (usize, f32)| {
            let (c, target) = ((0.2 + 0.05 * i as f64) as f32, (0.5 - 0.1 * i as f64) as f32);
            c * (p - target) + (0.1 * (0.37 * t as f64 + i as f64).sin()) as f32
        };
        let grad: Vec<f32> = var.flatten_all()?.to_vec1::<f32>()?.into_iter().enumerate().map(gradient).collect();
        grads.insert(var, Tensor::from_vec(grad, var.dims(), &Device::Cpu)?);
    }
    Ok(grads)
}

/// Fails unless every gradient is as expected.
pub(crate) fn gradients_close(grads: &Gradients, store: &ParamStore, expected: &[Vec<f32>], what: &str) -> Result<()> {
    for ((name, var), expected) in store.parameters().zip(expected) {
        let found = grads.get(var).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-6, "{what} {name}: {found} for {expected}");
        }
    }
    Ok(())
}
