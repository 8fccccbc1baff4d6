//! Every op against PyTorch's recorded values, forward and backward (fixtures/scripts/nn.py).
//! Convolution has a file of its own.

use crate::common::{assert_close, check_recorded, recorded};
use tallow_nn::layers::BatchNorm2d;
use tallow_nn::op::{
    Activation, PoolConfig, activate, avg_pool2d, batch_norm_eval, cross_entropy, global_avg_pool, global_max_pool,
    layer_norm, linear, max_pool2d, softmax,
};
use tallow_nn::{Mode, ParamStore, Result};

/// In the order of the script's numbers.
const ACTIVATIONS: [Activation; 9] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Hardswish,
    Activation::Hardsigmoid,
    Activation::Sigmoid,
];

#[test]
fn activations() {
    for case in recorded("activation") {
        let activation = ACTIVATIONS[case.config()[0]];
        if activation != Activation::Identity {
            // In units of 6, the largest value of most cases. (PyTorch's 1 + tanh is 0 from x = -5 down; ours is not.)
            check_recorded(&case, &["x"], 3e-7, |t| activate(&t[0], activation));
        }
    }
}

#[test]
fn batch_norms() -> Result<()> {
    for case in recorded("batch_norm") {
        let [activation, train] = case.config()[..] else { panic!("config") };
        let activation = ACTIVATIONS[activation];
        let inputs = ["x", "weight", "bias"];
        let tolerance = if case.name == "large_mean" { 1e-4 } else { 5e-6 };
        if train == 0 {
            check_recorded(&case, &inputs, tolerance, |t| {
                let (mean, var) = (case.get("running_mean"), case.get("running_var"));
                batch_norm_eval(&t[0], &t[1], &t[2], &mean, &var, 1e-5, activation)
            });
            continue;
        }
        let channels = case.get("weight").dims()[0];
        let (mut norm, _store) =
            ParamStore::build(0, &candle_core::Device::Cpu, |b| BatchNorm2d::new(channels, Default::default(), b))?;
        check_recorded(&case, &inputs, tolerance, |t| {
            (norm.weight, norm.bias) = (t[1].clone(), t[2].clone());
            norm.forward_act(&t[0], activation, &Mode::train(0, 0))
        });
        for (name, buffer) in [("running_mean", &norm.running_mean), ("running_var", &norm.running_var)] {
            assert_close(&format!("{}.{name}", case.name), &buffer.get(), &case.get(name), 1e-6);
        }
    }
    Ok(())
}

#[test]
fn layer_norms() {
    for case in recorded("layer_norm") {
        let tolerance = if case.name == "wide" { 2e-5 } else { 3e-6 };
        check_recorded(&case, &["x", "weight", "bias"], tolerance, |t| layer_norm(&t[0], &t[1], &t[2], 1e-6));
    }
}

fn pool_config(config: &[usize]) -> PoolConfig {
    PoolConfig {
        kernel: (config[0], config[1]),
        stride: (config[2], config[3]),
        padding: (config[4], config[5]),
        ceil_mode: config[6] == 1,
    }
}

#[test]
fn max_pools() {
    for case in recorded("max_pool2d") {
        check_recorded(&case, &["x"], 1e-6, |t| max_pool2d(&t[0], pool_config(&case.config())));
    }
}

#[test]
fn avg_pools() {
    for case in recorded("avg_pool2d") {
        let config = case.config();
        check_recorded(&case, &["x"], 1e-6, |t| avg_pool2d(&t[0], pool_config(&config), config[7] == 1));
    }
}

#[test]
fn global_pools() {
    for case in recorded("global_pool") {
        let pool = if case.config()[0] == 0 { global_avg_pool } else { global_max_pool };
        check_recorded(&case, &["x"], 1e-6, |t| pool(&t[0]));
    }
}

#[test]
fn softmaxes() {
    for case in recorded("softmax") {
        check_recorded(&case, &["x"], 1e-6, |t| softmax(&t[0]));
    }
}

#[test]
fn cross_entropies() {
    for case in recorded("cross_entropy") {
        check_recorded(&case, &["x", "targets"], 1e-6, |t| cross_entropy(&t[0], &t[1]));
    }
}

#[test]
fn linears() {
    for case in recorded("linear") {
        if case.has("bias") {
            check_recorded(&case, &["x", "weight", "bias"], 1e-6, |t| linear(&t[0], &t[1], Some(&t[2])));
        } else {
            check_recorded(&case, &["x", "weight"], 1e-6, |t| linear(&t[0], &t[1], None));
        }
    }
}
