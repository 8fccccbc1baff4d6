//! LayerNorm.

use tallow_cuda::op::layer_norm;
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::norm::{layer_norm as cpu, layer_norm_backward};

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(forward_and_backward);

fn forward_and_backward<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (rows, d) in [(1, 1), (5, 7), (33, 64), (9, 200), (130, 40)] {
            let (x, dy) = (random::<T>(rows * d, 1), random::<T>(rows * d, 2));
            let (gamma, beta) = (random::<f32>(d, 3), random::<f32>(d, 4));
            let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
            let (scale, shift) = (put::<D, f32>(device, &gamma)?, put::<D, f32>(device, &beta)?);
            let (mut y, mut stats) = (room::<D, T>(device, rows * d)?, room::<D, f32>(device, 2 * rows)?);
            let pair = (scale.view(), shift.view());
            layer_norm::forward(device, there.view(), pair, 1e-6, y.view_mut(), stats.view_mut())?;
            let mut dx = room::<D, T>(device, rows * d)?;
            let (mut dgamma, mut dbeta) = (room::<D, f32>(device, d)?, room::<D, f32>(device, d)?);
            layer_norm::backward(
                device,
                (there.view(), grad.view()),
                scale.view(),
                stats.view(),
                Some(dx.view_mut()),
                (dgamma.view_mut(), dbeta.view_mut()),
            )?;
            let (want, want_stats) = cpu(&x, &gamma, &beta, 1e-6);
            let gradients = layer_norm_backward(&x, &gamma, &want_stats, &dy);
            let what = |part: &str| format!("{part} of {rows}×{d}");
            close(&what("y"), &get(device, &y)?, &want, tolerance::<T>());
            close(&what("statistics"), &get(device, &stats)?, want_stats.as_flattened(), 1e-4);
            close(&what("dx"), &get(device, &dx)?, &gradients.x, 3.0 * tolerance::<T>());
            close(&what("dgamma"), &get(device, &dgamma)?, &gradients.gamma, 1e-4);
            close(&what("dbeta"), &get(device, &dbeta)?, &gradients.beta, 1e-4);
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}
