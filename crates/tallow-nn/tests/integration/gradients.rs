//! Every op's backward against finite differences, and its results on 1, 2 and 4 threads.

use std::slice::from_ref;

use crate::common::{check_gradient, check_threads, random};
use candle_core::{Device, Tensor};
use tallow_nn::op::{
    Activation, PoolConfig, activate, add_positions, attention, attention_qkv, avg_pool2d, batch_norm_eval,
    batch_norm_train, concat_tokens, cross_entropy, drop_path, dropout, global_avg_pool, global_max_pool, image,
    layer_norm, linear, max_pool2d, scale_channels, scale_last, select_token, softmax, tokens,
};
use tallow_nn::rng::keyed;
use tallow_nn::{Result, Tape};

const SMOOTH: [Activation; 5] =
    [Activation::Identity, Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Sigmoid];

/// Distinct multiples of 1/8 in a shuffled order, none at a kink of an activation: a small step changes no maximum.
fn spaced(seed: u64, shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    let noise = crate::common::flat(&random(seed, &[len]));
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|a, b| noise[*a].total_cmp(&noise[*b]));
    let values: Vec<f32> = order.iter().map(|rank| (*rank as f32 - len as f32 / 2.0) / 8.0 + 0.06).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// γ around 1, β around 0.
fn affine(c: usize) -> [Tensor; 2] {
    [random(5, &[c]).affine(0.5, 1.0).unwrap(), random(6, &[c])]
}

#[test]
fn activation_slopes() {
    let x = (random(1, &[2, 3, 7]) * 4.0).unwrap();
    for activation in SMOOTH {
        check_gradient(&format!("{activation:?}"), from_ref(&x), |t| activate(&t[0], activation));
    }
    let x = (spaced(1, &[80]) + 0.001).unwrap();
    for activation in [Activation::Relu, Activation::Relu6, Activation::Hardsigmoid, Activation::Hardswish] {
        check_gradient(&format!("{activation:?}"), from_ref(&x), |t| activate(&t[0], activation));
    }
}

#[test]
fn norm_slopes() {
    let [gamma, beta] = affine(3);
    let x = random(1, &[2, 3, 3, 2]);
    for activation in SMOOTH {
        let inputs = [x.clone(), gamma.clone(), beta.clone()];
        check_gradient(&format!("batch_norm_train {activation:?}"), &inputs, |t| {
            Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-2, activation)?.0)
        });
        let (mean, var) = (random(7, &[3]), random(8, &[3]).affine(0.5, 1.0).unwrap());
        check_gradient(&format!("batch_norm_eval {activation:?}"), &inputs, |t| {
            batch_norm_eval(&t[0], &t[1], &t[2], &mean, &var, 1e-2, activation)
        });
    }
    let [gamma, beta] = affine(5);
    check_gradient("layer_norm", &[random(1, &[2, 3, 5]), gamma, beta], |t| layer_norm(&t[0], &t[1], &t[2], 1e-2));
}

#[test]
fn pool_slopes() {
    let x = spaced(1, &[2, 3, 7, 6]);
    for config in [
        PoolConfig::square(2, 2, 0),
        PoolConfig::square(3, 2, 1),
        PoolConfig::square(3, 1, 1),
        PoolConfig::square(2, 3, 0),
        PoolConfig { ceil_mode: true, ..PoolConfig::square(3, 2, 0) },
    ] {
        let inputs = [x.clone()];
        check_gradient(&format!("max {config:?}"), &inputs, |t| max_pool2d(&t[0], config));
        check_gradient(&format!("avg {config:?}"), &inputs, |t| avg_pool2d(&t[0], config, true));
        check_gradient(&format!("avg without padding {config:?}"), &inputs, |t| avg_pool2d(&t[0], config, false));
    }
    check_gradient("global avg", from_ref(&x), |t| global_avg_pool(&t[0]));
    check_gradient("global max", &[x], |t| global_max_pool(&t[0]));
}

#[test]
fn classifier_slopes() {
    let x = random(1, &[3, 4]);
    check_gradient("softmax", from_ref(&x), |t| softmax(&t[0]));
    let targets = softmax(&random(2, &[3, 4])).unwrap();
    check_gradient("cross_entropy", &[x.clone(), targets], |t| cross_entropy(&t[0], &t[1]));
    check_gradient("linear", &[x, random(3, &[5, 4]), random(4, &[5])], |t| linear(&t[0], &t[1], Some(&t[2])));
}

#[test]
fn dropout_slopes() {
    let x = random(1, &[3, 2, 5, 4]);
    check_gradient("dropout", from_ref(&x), |t| dropout(&t[0], 0.4, keyed(1, 2, 3, 4)));
    let last = random(1, &[3, 5, 4, 2]).permute((0, 3, 1, 2)).unwrap();
    check_gradient("dropout channels-last", &[last], |t| {
        let lying = t[0].permute((0, 2, 3, 1))?.contiguous()?.permute((0, 3, 1, 2))?;
        dropout(&lying, 0.4, keyed(1, 2, 3, 4))
    });
    check_gradient("drop_path", &[x], |t| drop_path(&t[0], 0.5, keyed(1, 2, 3, 4)));
}

type Op = fn(&[Tensor]) -> Result<Tensor>;

#[test]
fn threads_change_nothing() {
    let images = random(1, &[13, 24, 31, 29]);
    let [gamma, beta] = affine(24);
    let norm = [images.clone(), gamma, beta];
    check_threads("batch_norm_train", &norm, |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Activation::Relu)?.0));
    for (label, op) in [
        ("activate", (|t| activate(&t[0], Activation::Gelu)) as Op),
        ("max", |t| max_pool2d(&t[0], PoolConfig::square(3, 2, 1))),
        ("avg", |t| avg_pool2d(&t[0], PoolConfig::square(3, 2, 1), true)),
        ("global avg", |t| global_avg_pool(&t[0])),
        ("global max", |t| global_max_pool(&t[0])),
        ("dropout", |t| dropout(&t[0], 0.3, keyed(1, 2, 3, 4))),
        ("drop_path", |t| drop_path(&t[0], 0.3, keyed(1, 2, 3, 4))),
    ] {
        check_threads(label, from_ref(&images), op);
    }
    let [gamma, beta] = affine(70);
    let rows = random(2, &[1500, 70]);
    check_threads("layer_norm", &[rows.clone(), gamma, beta], |t| layer_norm(&t[0], &t[1], &t[2], 1e-5));
    check_threads("softmax", from_ref(&rows), |t| softmax(&t[0]));
    let targets = softmax(&random(3, &[1500, 70])).unwrap();
    check_threads("cross_entropy", &[rows.clone(), targets], |t| cross_entropy(&t[0], &t[1]));
    check_threads("linear", &[rows, random(4, &[130, 70]), random(5, &[130])], |t| linear(&t[0], &t[1], Some(&t[2])));
}

#[test]
fn without_a_tape_the_values_are_the_same() -> Result<()> {
    let x = crate::common::variable(&random(1, &[2, 5, 9, 8]));
    let config = PoolConfig::square(3, 2, 1);
    let plain = max_pool2d(&x, config)?;
    let tape = Tape::start();
    let recorded = max_pool2d(&x, config)?;
    drop(tape);
    assert_eq!(crate::common::flat(&plain), crate::common::flat(&recorded));
    Ok(())
}

#[test]
fn scale_slopes() {
    check_gradient("scale_channels", &[random(1, &[2, 3, 4, 3]), random(2, &[2, 3])], |t| scale_channels(&t[0], &t[1]));
    check_gradient("scale_last", &[random(1, &[2, 4, 3]), random(2, &[3])], |t| scale_last(&t[0], &t[1]));
    let inputs = [random(1, &[3, 40, 25, 25]), random(2, &[3, 40])];
    check_threads("scale_channels", &inputs, |t| scale_channels(&t[0], &t[1]));
    check_threads("scale_last", &[random(1, &[900, 70]), random(2, &[70])], |t| scale_last(&t[0], &t[1]));
}

#[test]
fn token_slopes() {
    let (x, positions, class) = (random(1, &[3, 4, 5]), random(2, &[1, 4, 5]), random(3, &[1, 1, 5]));
    check_gradient("add_positions", &[x.clone(), positions], |t| add_positions(&t[0], &t[1]));
    check_gradient("concat_tokens", &[class, x.clone()], |t| concat_tokens(&[&t[0], &t[1]]));
    check_gradient("concat_tokens", &[x.clone(), random(4, &[3, 2, 5])], |t| concat_tokens(&[&t[0], &t[1]]));
    check_gradient("select_token", &[x], |t| select_token(&t[0], 2));
    check_gradient("tokens", &[random(1, &[2, 3, 2, 4])], |t| tokens(&t[0]));
    check_gradient("image", &[random(1, &[2, 8, 3])], |t| image(&t[0], (2, 4)));
    check_threads("add_positions", &[random(1, &[70, 9, 33]), random(2, &[1, 9, 33])], |t| add_positions(&t[0], &t[1]));
    check_threads("concat_tokens", &[random(1, &[70, 9, 33]), random(2, &[1, 2, 33])], |t| {
        concat_tokens(&[&t[1], &t[0]])
    });
}

/// Views on the tape between kernels and Candle's ops, both ways, against Candle's engine alone.
#[test]
fn recorded_views_mix_with_candles_ops() {
    let x = random(1, &[2, 3, 2, 4]);
    check_gradient("both", &[x], |t| {
        let seen = tokens(&activate(&t[0], Activation::Sigmoid)?)?;
        let ours = activate(&seen, Activation::Silu)?;
        let candles = (&seen * &seen)?;
        activate(&image(&(ours + candles)?, (2, 4))?, Activation::Sigmoid)
    });
}

#[test]
fn tokens_that_do_not_fit_are_named() {
    let x = random(1, &[3, 4, 5]);
    for (result, part) in [
        (add_positions(&x, &random(2, &[1, 3, 5])), "[1, 4, 5]"),
        (concat_tokens(&[&x, &random(2, &[2, 1, 5])]), "[2, 1, 5]"),
        (concat_tokens(&[]), "n or 1"),
        (select_token(&x, 4), "below 4"),
    ] {
        let error = result.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn attention_slopes() {
    // Other numbers of queries and keys, another width of values; a bias for all images, and one for each of two.
    let (q, k, v) = (random(1, &[4, 3, 4]), random(2, &[4, 5, 4]), random(3, &[4, 5, 6]));
    for bias in [random(4, &[2, 3, 5]), random(4, &[2, 2, 3, 5])] {
        let inputs = [q.clone(), k.clone(), v.clone(), bias];
        check_gradient("attention", &inputs, |t| attention(&t[0], &t[1], &t[2], 2, 0.7, Some(&t[3])));
        check_threads("attention", &inputs, |t| attention(&t[0], &t[1], &t[2], 2, 0.7, Some(&t[3])));
    }
    check_gradient("attention_qkv", &[random(1, &[2, 5, 12])], |t| attention_qkv(&t[0], 2, 0.7, None));
}

/// Several blocks of queries, against the same attention composed of other ops.
#[test]
fn attention_is_its_composition() {
    let (b, n, heads, d) = (2, 700, 2, 8);
    let qkv = (random(1, &[b, n, 3 * heads * d]) * 3.0).unwrap();
    let bias = random(2, &[heads, n, n]);
    let composed = |t: &[Tensor]| -> Result<Tensor> {
        let parts = t[0].reshape((b, n, 3, heads, d))?.permute((2, 0, 3, 1, 4))?;
        let [q, k, v] = [0, 1, 2].map(|i| parts.get(i).and_then(|part| part.contiguous()));
        let scores = (q?.matmul(&k?.t()?.contiguous()?)? * 0.5)?.broadcast_add(&t[1].unsqueeze(0)?)?;
        let y = softmax(&scores)?.matmul(&v?)?;
        Ok(y.transpose(1, 2)?.reshape((b, n, heads * d))?)
    };
    let vars = [crate::common::variable(&qkv), crate::common::variable(&bias)];
    let (want, want_grads) = crate::common::gradients(&vars, composed);
    let (got, got_grads) = crate::common::gradients(&vars, |t| attention_qkv(&t[0], heads, 0.5, Some(&t[1])));
    crate::common::assert_close("y", &got, &want, 1e-5);
    for var in &vars {
        crate::common::assert_close("gradient", got_grads.get(var).unwrap(), want_grads.get(var).unwrap(), 1e-4);
    }
}
