//! Optimisers against PyTorch's and timm's recorded trajectories, and their state through a save.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use tallow_nn::Init;

use super::recorded::{self, gradients};
use super::*;
use crate::{Rates, Result};

#[derive(Deserialize)]
struct Recorded {
    config: OptimConfig,
    #[serde(default)]
    cycled_momentum: bool,
    /// Step → values of the weight and of the bias.
    parameters: BTreeMap<u64, [Vec<f32>; 2]>,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("../../../../fixtures/train/optimizers.json")).expect("the fixture")
}

/// The weight [3, 4] and the bias [4] with the first values of fixtures/scripts/train.py.
fn parameters() -> Result<ParamStore> {
    let build = |b: &tallow_nn::Builder| {
        b.param("weight", &[3, 4], Init::ZEROS)?;
        b.param("bias", &[4], Init::ZEROS)
    };
    let (_, store) = ParamStore::build(0, &Device::Cpu, build)?;
    for (name, dims, phase) in [("weight", vec![3, 4], 0.0), ("bias", vec![4], 1.0)] {
        let values: Vec<f32> =
            (0..dims.iter().product()).map(|i: usize| (0.9 * i as f64 + phase).sin() as f32).collect();
        store.set(name, &Tensor::from_vec(values, dims, &Device::Cpu)?)?;
    }
    Ok(store)
}

fn values(var: &Var) -> Result<Vec<f32>> {
    Ok(var.as_tensor().flatten_all()?.to_vec1()?)
}

#[test]
fn trajectories_equal_the_originals_over_100_steps() -> Result<()> {
    let all = recorded();
    assert_eq!(all.len(), 13);
    for recorded in all {
        let store = parameters()?;
        let mut optimizer = recorded.config.build(&store, None);
        for t in 1..=100 {
            let momentum = recorded.cycled_momentum.then_some(0.95 - 0.001 * t as f64);
            optimizer.step(&gradients(&store, t)?, Rates { momentum, ..Rates::new(recorded.config.lr()) })?;
            let Some(expected) = recorded.parameters.get(&t) else {
                continue;
            };
            for ((name, var), expected) in store.parameters().zip(expected) {
                for (found, expected) in values(var)?.iter().zip(expected) {
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(error < 2e-6, "{:?} {name} at {t}: {found} for {expected}", recorded.config);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn more_trajectories_equal_the_originals_over_100_steps() -> Result<()> {
    let more = recorded::more();
    assert_eq!(more.cases.len(), 25);
    for case in &more.cases {
        let store = recorded::parameters(&more)?;
        let mut optimizer = case.config.build(&store, case.classifier.as_deref());
        for t in 1..=100 {
            let mut grads = gradients(&store, t)?;
            if let Some(sam) = &case.config.common.sam {
                let climb = Sam::climb(sam, &store, &grads)?;
                grads = gradients(&store, t)?;
                climb.descend()?;
            }
            optimizer.step(&grads, Rates::new(case.config.lr()))?;
            let Some(expected) = case.parameters.get(&t) else {
                continue;
            };
            for ((name, var), expected) in store.parameters().zip(expected) {
                for (found, expected) in values(var)?.iter().zip(expected) {
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(error < 5e-6, "{:?} {name} at {t}: {found} for {expected}", case.config);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn more_saved_states_go_on_bit_for_bit() -> Result<()> {
    let more = recorded::more();
    for case in &more.cases {
        let (store, other) = (recorded::parameters(&more)?, recorded::parameters(&more)?);
        let classifier = case.classifier.as_deref();
        let mut optimizer = case.config.build(&store, classifier);
        let rates = Rates::new(case.config.lr());
        for t in 1..=12 {
            optimizer.step(&gradients(&store, t)?, rates)?;
        }
        for (name, tensor) in store.state_dict() {
            other.set(&name, &tensor)?;
        }
        let mut second = case.config.build(&other, classifier);
        second.load_state(&optimizer.state()?.into_iter().collect())?;
        for t in 13..=20 {
            optimizer.step(&gradients(&store, t)?, rates)?;
            second.step(&gradients(&other, t)?, rates)?;
        }
        for ((_, a), (_, b)) in store.parameters().zip(other.parameters()) {
            assert_eq!(values(a)?, values(b)?, "{:?}", case.config);
        }
        assert!(second.load_state(&HashMap::new()).is_err());
    }
    Ok(())
}

#[test]
fn saved_state_goes_on_bit_for_bit() -> Result<()> {
    for recorded in recorded() {
        let (store, other) = (parameters()?, parameters()?);
        let mut optimizer = recorded.config.build(&store, None);
        let rates = Rates::new(recorded.config.lr());
        for t in 1..=5 {
            optimizer.step(&gradients(&store, t)?, rates)?;
        }
        for (name, tensor) in store.state_dict() {
            other.set(&name, &tensor)?;
        }
        let mut second = recorded.config.build(&other, None);
        second.load_state(&optimizer.state()?.into_iter().collect())?;
        for t in 6..=10 {
            optimizer.step(&gradients(&store, t)?, rates)?;
            second.step(&gradients(&other, t)?, rates)?;
        }
        for ((_, a), (_, b)) in store.parameters().zip(other.parameters()) {
            assert_eq!(values(a)?, values(b)?, "{:?}", recorded.config);
        }
    }
    Ok(())
}

#[test]
fn state_of_another_optimiser_is_refused() -> Result<()> {
    let store = parameters()?;
    let sgd = OptimConfig::from(OptimMethod::Sgd(SgdConfig::default())).build(&store, None);
    let mut adam = OptimConfig::from(OptimMethod::Adam(AdamConfig::default())).build(&store, None);
    let refused = adam.load_state(&sgd.state()?.into_iter().collect());
    assert!(matches!(&refused, Err(crate::Error::State { name, .. }) if name == "exp_avg.weight"), "{refused:?}");
    Ok(())
}

#[test]
fn a_gradient_in_another_memory_layout_is_the_same_gradient() -> Result<()> {
    let (store, other) = (parameters()?, parameters()?);
    let rates = Rates::new(0.1);
    OptimConfig::from(OptimMethod::Sgd(SgdConfig::default()))
        .build(&store, None)
        .step(&gradients(&store, 1)?, rates)?;
    let mut grads = gradients(&other, 1)?;
    for (_, var) in other.parameters().filter(|(_, var)| var.rank() == 2) {
        if let Some(grad) = grads.remove(var) {
            grads.insert(var, grad.t()?.contiguous()?.t()?);
        }
    }
    OptimConfig::from(OptimMethod::Sgd(SgdConfig::default())).build(&other, None).step(&grads, rates)?;
    for ((_, a), (_, b)) in store.parameters().zip(other.parameters()) {
        assert_eq!(values(a)?, values(b)?);
    }
    Ok(())
}
