//! BatchNorm in training and in evaluation, with activation and residual.

use tallow_cuda::op::activation::Activation;
use tallow_cuda::op::batch_norm::{self, Gradients, Inputs, Running};
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::norm::{BatchNorm, moments};
use tallow_kernels::cpu::{activation as cpu, elementwise};

use super::activation::on_cpu;
use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(
    training_and_evaluation,
    residuals,
    running_statistics,
    a_large_mean_does_not_cancel,
    wrong_lengths_are_refused
);

const EPS: f32 = 1e-5;

/// A forward and backward pass on the device: y, dx, dgamma, dbeta and the residual's gradient.
#[allow(clippy::too_many_arguments)]
fn pass<D: Device, T: Storage>(
    device: &D,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    residual: Option<&[f32]>,
    dy: &[f32],
    given: Option<(&[f32], &[f32])>,
    activation: Activation,
) -> Result<[Vec<f32>; 5]> {
    let (images, scale, shift) = (put::<D, T>(device, x)?, put::<D, f32>(device, gamma)?, put::<D, f32>(device, beta)?);
    let added = residual.map(|values| put::<D, T>(device, values)).transpose()?;
    let grad = put::<D, T>(device, dy)?;
    let statistics = match given {
        None => batch_norm::of_batch(device, images.view(), scale.view(), EPS, None)?,
        Some((mean, var)) => {
            let (mean, var) = (put::<D, f32>(device, mean)?, put::<D, f32>(device, var)?);
            batch_norm::given(device, mean.view(), var.view(), scale.view(), EPS)?
        }
    };
    let mut y = room::<D, T>(device, x.len())?;
    let residual = added.as_ref().map(|added| added.view());
    statistics.apply(device, images.view(), shift.view(), residual, y.view_mut(), activation)?;
    let (mut dx, mut dresidual) = (room::<D, T>(device, x.len())?, room::<D, T>(device, x.len())?);
    let (mut dgamma, mut dbeta) = (room::<D, f32>(device, gamma.len())?, room::<D, f32>(device, gamma.len())?);
    let inputs = Inputs { x: images.view(), beta: shift.view(), residual, dy: grad.view(), activation };
    let gradients = Gradients {
        x: Some(dx.view_mut()),
        residual: residual.is_some().then(|| dresidual.view_mut()),
        gamma: dgamma.view_mut(),
        beta: dbeta.view_mut(),
    };
    statistics.backward(device, inputs, gradients)?;
    Ok([
        get(device, &y)?,
        get(device, &dx)?,
        get(device, &dgamma)?,
        get(device, &dbeta)?,
        if residual.is_some() { get(device, &dresidual)? } else { Vec::new() },
    ])
}

fn training_and_evaluation<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (rows, c, curve) in [
            (2, 1, Activation::Identity),
            (37, 3, Activation::Relu),
            (50, 8, Activation::Hardswish),
            (333, 19, Activation::Silu),
            (129, 64, Activation::Relu),
            (70, 136, Activation::Gelu),
        ] {
            let x = random::<T>(rows * c, 1);
            let (gamma, beta, dy) = (random::<f32>(c, 2), random::<f32>(c, 3), random::<T>(rows * c, 4));
            let var: Vec<f32> = random::<f32>(c, 5).iter().map(|v| v + 1.5).collect();
            let mean = random::<f32>(c, 6);
            for given in [None, Some((&mean[..], &var[..]))] {
                let [y, dx, dgamma, dbeta, _] = pass::<D, T>(device, &x, &gamma, &beta, None, &dy, given, curve)?;
                let own = moments(&x, c);
                let statistics = given.unwrap_or((&own.0, &own.1));
                let norm = BatchNorm::new(statistics, &gamma, &beta, EPS, on_cpu(curve), given.is_none());
                let want = norm.backward(&x, &dy, true);
                let what = |part: &str| format!("{part} of {rows}×{c} {curve:?}, given: {}", given.is_some());
                close(&what("y"), &y, &norm.forward(&x), tolerance::<T>());
                close(&what("dx"), &dx, &want.x.unwrap(), 3.0 * tolerance::<T>());
                close(&what("dgamma"), &dgamma, &want.gamma, 1e-4);
                close(&what("dbeta"), &dbeta, &want.beta, 1e-4);
            }
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

/// `relu(norm(x) + residual)` against the CPU's norm, sum and mask.
fn residuals<D: Device>(device: &D) -> Result<()> {
    for (rows, c) in [(45, 5), (64, 32)] {
        let (x, residual, dy) = (random::<f32>(rows * c, 1), random::<f32>(rows * c, 2), random::<f32>(rows * c, 3));
        let (gamma, beta) = (random::<f32>(c, 4), random::<f32>(c, 5));
        let [y, dx, dgamma, dbeta, dresidual] =
            pass::<D, f32>(device, &x, &gamma, &beta, Some(&residual), &dy, None, Activation::Relu)?;
        let (mean, var) = moments(&x, c);
        let norm = BatchNorm::new((&mean, &var), &gamma, &beta, EPS, cpu::Activation::Identity, true);
        let (want, active) = elementwise::add_relu(&norm.forward(&x), &residual, true);
        let masked = elementwise::mask(&dy, &active.unwrap());
        let gradients = norm.backward(&x, &masked, true);
        close("y", &y, &want, 2e-5);
        close("the residual's gradient", &dresidual, &masked, 0.0);
        close("dx", &dx, &gradients.x.unwrap(), 5e-5);
        close("dgamma", &dgamma, &gradients.gamma, 1e-4);
        close("dbeta", &dbeta, &gradients.beta, 1e-4);
    }
    Ok(())
}

fn running_statistics<D: Device>(device: &D) -> Result<()> {
    for (rows, c) in [(100, 6), (1, 6)] {
        let x = random::<f32>(rows * c, 1);
        let (mean, var) = moments(&x, c);
        let (images, gamma) = (put::<D, f32>(device, &x)?, put::<D, f32>(device, &vec![1.0; c])?);
        let (old_mean, old_var) = (random::<f32>(c, 2), vec![2.0; c]);
        let (mut running_mean, mut running_var) = (put::<D, f32>(device, &old_mean)?, put::<D, f32>(device, &old_var)?);
        let running = Running { mean: running_mean.view_mut(), var: running_var.view_mut(), momentum: 0.1 };
        let found = batch_norm::of_batch(device, images.view(), gamma.view(), EPS, Some(running))?;
        close("mean", &get(device, &found.mean)?, &mean, 1e-6);
        close("var", &get(device, &found.var)?, &var, 1e-6);
        let moved = |old: &[f32], new: &[f32], factor: f32| -> Vec<f32> {
            old.iter().zip(new).map(|(old, new)| 0.9 * old + 0.1 * factor * new).collect()
        };
        close("the running mean", &get(device, &running_mean)?, &moved(&old_mean, &mean, 1.0), 1e-6);
        // One value a channel has no unbiased variance: the running one stays.
        let want = if rows > 1 { moved(&old_var, &var, rows as f32 / (rows - 1) as f32) } else { old_var };
        close("the running variance", &get(device, &running_var)?, &want, 1e-6);
    }
    Ok(())
}

fn a_large_mean_does_not_cancel<D: Device>(device: &D) -> Result<()> {
    let (rows, c) = (1500, 3);
    let x: Vec<f32> = random::<f32>(rows * c, 1).iter().map(|x| 1000.0 + x).collect();
    let (images, gamma) = (put::<D, f32>(device, &x)?, put::<D, f32>(device, &[1.0; 3])?);
    let found = batch_norm::of_batch(device, images.view(), gamma.view(), EPS, None)?;
    let (mean, var) = moments(&x, c);
    close("mean", &get(device, &found.mean)?, &mean, 1e-6);
    close("var", &get(device, &found.var)?, &var, 1e-4);
    Ok(())
}

fn wrong_lengths_are_refused<D: Device>(device: &D) -> Result<()> {
    let (x, gamma) = (put::<D, f32>(device, &[0.0; 7])?, put::<D, f32>(device, &[1.0; 3])?);
    let error = batch_norm::of_batch(device, x.view(), gamma.view(), EPS, None).err().unwrap().to_string();
    assert!(error.contains("batch_norm: expected rows of c values, found 7 values, c = 3"), "{error}");
    Ok(())
}
