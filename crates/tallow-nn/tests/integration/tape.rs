//! The tape with Candle's ops and ours mixed, and the ops that Candle leaves without a gradient.

use crate::common::{check_gradient, flat, random, variable, weighted};
use candle_core::{Device, Tensor};
use tallow_nn::op::{
    Activation, PoolConfig, activate, batch_norm_train, cross_entropy, global_avg_pool, layer_norm, linear, max_pool2d,
    softmax,
};
use tallow_nn::{Error, Result, Tape};

#[test]
fn candle_and_our_ops_alternate() {
    let inputs = [random(1, &[2, 3, 4, 4]), random(2, &[5, 3]), random(3, &[5])];
    check_gradient("alternating", &inputs, |t| {
        let squashed = t[0].tanh()?; // Candle, on a variable
        let active = activate(&squashed, Activation::Silu)?; // ours, on Candle's result
        let images = (active.sqr()? + &squashed)?; // Candle, on ours and on a tensor ours consumed
        let pooled = global_avg_pool(&images)?;
        let logits = linear(&pooled.affine(2.0, 0.1)?, &t[1], Some(&t[2]))?;
        Ok(logits.exp()?)
    });
}

#[test]
fn a_tensor_used_twice_gathers_both_gradients() {
    check_gradient("by two ops of ours", &[random(1, &[3, 4])], |t| {
        let hidden = activate(&t[0], Activation::Gelu)?;
        let sum = (softmax(&hidden)? * activate(&hidden, Activation::Sigmoid)?)?;
        Ok((sum + &hidden)?)
    });
    check_gradient("a Candle tensor by two ops of ours", &[random(1, &[3, 4])], |t| {
        let hidden = t[0].sin()?;
        Ok((softmax(&hidden)? - activate(&hidden, Activation::Silu)?)?)
    });
    check_gradient("a variable by Candle and by ours", &[random(1, &[3, 4])], |t| Ok((t[0].sqr()? * softmax(&t[0])?)?));
    check_gradient("twice by one op", &[random(1, &[3, 3])], |t| linear(&t[0], &t[0], None));
}

#[test]
fn channels_last_results_pass_through_candle() {
    let inputs = [random(1, &[2, 3, 6, 4]), random(2, &[3]), random(3, &[3])];
    check_gradient("channels-last", &inputs, |t| {
        let normal = batch_norm_train(&t[0], &t[1], &t[2], 1e-2, Activation::Identity)?.0;
        let shortcut = normal.narrow(2, 1, 4)?.sqr()?;
        let smooth = activate(&shortcut, Activation::Silu)?;
        Ok((smooth + normal.narrow(2, 0, 4)?.transpose(2, 3)?)?)
    });
}

#[test]
fn relu_and_a_loss_in_candle() -> Result<()> {
    let x = variable(&Tensor::new(&[[-2f32, 1.0, 3.0]], &Device::Cpu)?);
    let w = variable(&Tensor::new(&[[1f32, 0.5, -1.0], [2.0, 0.0, 1.0]], &Device::Cpu)?);
    let tape = Tape::start();
    let hidden = linear(&x, &w, None)?.relu()?; // [-4.5, -1] → [0, 0], no gradient
    let loss = (hidden.sqr()?.sum_all()? + x.sqr()?.sum_all()?)?;
    let grads = tape.backward(&loss)?;
    assert_eq!(flat(grads.get(&x).unwrap()), [-4.0, 2.0, 6.0]);
    assert_eq!(flat(grads.get(&w).unwrap()), [0.0; 6]);
    Ok(())
}

/// Candle's own layer_norm, softmax_last_dim and max_pool2d give no gradient or a wrong one, and say nothing.
#[test]
fn every_parameter_of_a_transformer_block_gets_a_gradient() -> Result<()> {
    let d = 6;
    let shapes: [&[usize]; 6] = [&[d], &[d], &[3 * d, d], &[3 * d], &[d, d], &[d]];
    let parameters: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| variable(&random(i as u64, s))).collect();
    let x = random(20, &[2, 5, d]);
    let tape = Tape::start();
    let normal = layer_norm(&x, &parameters[0], &parameters[1], 1e-6)?;
    let qkv = linear(&normal, &parameters[2], Some(&parameters[3]))?;
    let part = |i: usize| qkv.narrow(2, i * d, d)?.contiguous();
    let attention = softmax(&part(0)?.matmul(&part(1)?.t()?)?)?;
    let y = linear(&attention.matmul(&part(2)?)?, &parameters[4], Some(&parameters[5]))?;
    let pooled = (y + &x)?.mean(1)?;
    let targets = softmax(&random(21, &[2, d]))?;
    let grads = tape.backward(&cross_entropy(&pooled, &targets)?)?;
    for (i, parameter) in parameters.iter().enumerate() {
        let grad = grads.get(parameter).unwrap_or_else(|| panic!("parameter {i} has no gradient"));
        assert!(flat(grad).iter().any(|g| *g != 0.0), "parameter {i}: its gradient is zero");
    }
    Ok(())
}

#[test]
fn max_pooling_passes_gradients_unscaled() -> Result<()> {
    let x = variable(&Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((1, 1, 4, 4))?);
    let tape = Tape::start();
    let y = max_pool2d(&x, PoolConfig::square(2, 2, 0))?;
    let grads = tape.backward(&y.sum_all()?)?;
    let want: Vec<f32> = (0..16).map(|i| if [5, 7, 13, 15].contains(&i) { 1.0 } else { 0.0 }).collect();
    assert_eq!(flat(grads.get(&x).unwrap()), want);
    Ok(())
}

#[test]
fn a_loss_without_variables_is_an_error() -> Result<()> {
    let tape = Tape::start();
    let loss = softmax(&random(1, &[2, 3]))?.sum_all()?;
    assert!(matches!(tape.backward(&loss), Err(Error::NotRecorded)));
    Ok(())
}

#[test]
fn inputs_that_need_no_gradient_get_none() -> Result<()> {
    let (x, w) = (random(1, &[4, 3]), variable(&random(2, &[2, 3])));
    let tape = Tape::start();
    let y = linear(&x, &w, None)?;
    let grads = tape.backward(&weighted(&y, &random(3, &[4, 2])))?;
    assert!(grads.get(&x).is_none() && grads.get(&w).is_some());
    Ok(())
}
