//! Softmax.

use tallow_cuda::op::softmax;
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::softmax as cpu;

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(forward_and_backward);

fn forward_and_backward<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (rows, k) in [(1, 1), (5, 3), (9, 40), (3, 1000)] {
            let mut x: Vec<f32> = random::<T>(rows * k, 1).iter().map(|x| T::from_f32(20.0 * x).to_f32()).collect();
            if k == 40 {
                (x[3], x[45]) = (f32::NEG_INFINITY, f32::NAN);
            }
            let dy = random::<T>(rows * k, 2);
            let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
            let (mut y, mut dx) = (room::<D, T>(device, rows * k)?, room::<D, T>(device, rows * k)?);
            softmax::forward(device, there.view(), k, y.view_mut())?;
            let found = get(device, &y)?;
            close("softmax", &found, &cpu::forward(&x, k), tolerance::<T>());
            softmax::backward(device, y.view(), grad.view(), k, dx.view_mut())?;
            close("its gradient", &get(device, &dx)?, &cpu::backward(&found, &dy, k), tolerance::<T>());
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}
