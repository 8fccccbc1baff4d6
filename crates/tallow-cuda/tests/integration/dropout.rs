//! Dropout and drop path, whose masks are the CPU's to the bit: tallow-nn's own ops are the reference.

use candle_core::{Device as Candle, Tensor};
use tallow_base::rng::{DROPOUT, keyed};
use tallow_cuda::op::dropout::{self, Draw};
use tallow_cuda::{Array, Bf16, Device, Result, Storage};
use tallow_kernels::cpu::dropout as cpu;

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(masks_are_the_cpus, drop_paths_are_the_cpus);

const KEY: (u64, u64, u64) = (0x1234_5678_9abc_def0, 77, 5);

fn masks_are_the_cpus<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        let (seed, step, layer) = KEY;
        let key = Array::upload(device, &[seed, step])?;
        let draw = Draw { seed_and_step: key.view(), layer, purpose: DROPOUT };
        for (len, p) in [(1, 0.5), (31, 0.1), (1025, 0.25), (40_000, 0.9), (64, 1.0)] {
            let (x, dy) = (random::<T>(len, 1), random::<T>(len, 2));
            let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
            let (mut y, mut dx) = (room::<D, T>(device, len)?, room::<D, T>(device, len)?);
            let mut kept = room::<D, u32>(device, len.div_ceil(32))?;
            dropout::forward(device, there.view(), p, draw, y.view_mut(), kept.view_mut())?;
            dropout::backward(device, grad.view(), kept.view(), p, dx.view_mut())?;
            let tensor = Tensor::from_slice(&x, len, &Candle::Cpu).unwrap();
            let want = tallow_nn::op::dropout(&tensor, p, keyed(seed, step, layer, DROPOUT)).unwrap();
            let want = want.to_vec1::<f32>().unwrap();
            let found = get(device, &y)?;
            close("dropout", &found, &want, tolerance::<T>());
            for (found, want) in found.iter().zip(&want) {
                assert_eq!(*found == 0.0, *want == 0.0, "the masks");
            }
            let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
            let want = cpu::backward(&dy, &kept.download(device)?, scale);
            close("its gradient", &get(device, &dx)?, &want, tolerance::<T>());
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn drop_paths_are_the_cpus<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        let (seed, step, layer) = KEY;
        let key = Array::upload(device, &[seed, step])?;
        let draw = Draw { seed_and_step: key.view(), layer, purpose: DROPOUT };
        for (n, len, p) in [(1, 1, 0.5), (33, 5, 0.3), (50, 8, 0.2), (4, 3, 1.0)] {
            let x = random::<T>(n * len, 1);
            let (there, mut y) = (put::<D, T>(device, &x)?, room::<D, T>(device, n * len)?);
            let mut factors = room::<D, f32>(device, n)?;
            dropout::drop_path_factors(device, p, draw, factors.view_mut())?;
            dropout::scale_samples(device, there.view(), factors.view(), y.view_mut())?;
            let tensor = Tensor::from_slice(&x, (n, len), &Candle::Cpu).unwrap();
            let want = tallow_nn::op::drop_path(&tensor, p, keyed(seed, step, layer, DROPOUT)).unwrap();
            let want = want.flatten_all().and_then(|t| t.to_vec1::<f32>()).unwrap();
            close("drop path", &get(device, &y)?, &want, tolerance::<T>());
        }
        // Zeros whatever the sample holds.
        let (x, factors) = (put::<D, T>(device, &[f32::NAN, 2.0])?, put::<D, f32>(device, &[0.0, 3.0])?);
        let mut y = room::<D, T>(device, 2)?;
        dropout::scale_samples(device, x.view(), factors.view(), y.view_mut())?;
        assert_eq!(get(device, &y)?, [0.0, 6.0]);
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}
