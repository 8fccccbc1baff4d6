//! Sums of columns, means over images, channel factors.

use tallow_cuda::op::columns::{self, Groups};
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::conv2d::bias_grad;
use tallow_kernels::cpu::pool::{global_avg, global_avg_backward};
use tallow_kernels::cpu::{norm, scale};

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(sums_of_rows, means_of_images, channel_factors);

fn sums_of_rows<D: Device>(device: &D) -> Result<()> {
    for (rows, c) in [(1, 1), (257, 3), (1030, 40), (3, 700)] {
        let x = random::<f32>(rows * c, 1);
        let there = put::<D, f32>(device, &x)?;
        let mut sums = room::<D, f32>(device, c)?;
        let groups = Groups { count: 1, rows, channels: c };
        columns::sums(device, groups, there.view(), None, 1.0, sums.view_mut())?;
        close("sums", &get(device, &sums)?, &norm::sums(&x, c), 2e-5);
        close("a bias's gradient", &get(device, &sums)?, &bias_grad(&x, c), 5e-5);
    }
    Ok(())
}

fn means_of_images<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (n, pixels, c) in [(1, 1, 1), (3, 49, 5), (2, 130, 24), (5, 64, 8)] {
            let (x, dy) = (random::<T>(n * pixels * c, 1), random::<T>(n * c, 2));
            let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
            let (mut y, mut dx) = (room::<D, T>(device, n * c)?, room::<D, T>(device, x.len())?);
            let images = Groups { count: n, rows: pixels, channels: c };
            columns::global_avg(device, images, there.view(), y.view_mut())?;
            columns::global_avg_backward(device, images, grad.view(), dx.view_mut())?;
            close("the mean", &get(device, &y)?, &global_avg(&x, pixels, c), tolerance::<T>());
            close("its gradient", &get(device, &dx)?, &global_avg_backward(&dy, pixels, c), tolerance::<T>());
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn channel_factors<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (n, rows, c) in [(1, 7, 3), (4, 25, 16), (3, 1, 9), (1, 300, 48)] {
            let (x, dy, factors) = (random::<T>(n * rows * c, 1), random::<T>(n * rows * c, 2), random::<T>(n * c, 3));
            let (there, grad, by) =
                (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?, put::<D, T>(device, &factors)?);
            let (mut y, mut ds) = (room::<D, T>(device, x.len())?, room::<D, T>(device, n * c)?);
            let groups = Groups { count: n, rows, channels: c };
            let on_cpu = scale::Groups { count: n, channels: c };
            columns::scale(device, groups, there.view(), by.view(), y.view_mut())?;
            close("scaled", &get(device, &y)?, &scale::forward(on_cpu, &x, &factors), tolerance::<T>());
            columns::sums(device, groups, grad.view(), Some(there.view()), 1.0, ds.view_mut())?;
            close("the factors' gradient", &get(device, &ds)?, &scale::factor_grad(on_cpu, &dy, &x), tolerance::<T>());
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}
