//! Sequences of tokens.

use tallow_cuda::op::tokens::{self, Range};
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::tokens as cpu;

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(positions, concatenation_and_selection, ranges_that_exceed_are_refused);

fn positions<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (samples, len) in [(1, 1), (3, 35), (4, 48)] {
            let (x, added) = (random::<T>(samples * len, 1), random::<T>(len, 2));
            let (there, more) = (put::<D, T>(device, &x)?, put::<D, T>(device, &added)?);
            let mut y = room::<D, T>(device, x.len())?;
            tokens::add_to_each(device, there.view(), more.view(), y.view_mut())?;
            close("positions", &get(device, &y)?, &cpu::add_to_each(&x, &added), tolerance::<T>());
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn concatenation_and_selection<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for (samples, c, l) in [(1, 1, 1), (3, 5, 4), (2, 16, 7)] {
            // A class token of all samples before the tokens of each.
            let (token, x) = (random::<T>(c, 1), random::<T>(samples * l * c, 2));
            let (first, rest) = (put::<D, T>(device, &token)?, put::<D, T>(device, &x)?);
            let all = (l + 1) * c;
            let mut y = room::<D, T>(device, samples * all)?;
            let range = Range { samples, len: c, x_stride: 0, from: 0, y_stride: all, to: 0, fill: false };
            tokens::copy_range(device, range, first.view(), y.view_mut())?;
            let range = Range { len: l * c, x_stride: l * c, to: c, ..range };
            tokens::copy_range(device, range, rest.view(), y.view_mut())?;
            let parts = [
                cpu::Part { values: &token, len: c, shared: true },
                cpu::Part { values: &x, len: l * c, shared: false },
            ];
            let joined = cpu::concat(samples, &parts);
            assert_eq!(get(device, &y)?, joined);

            let mut selected = room::<D, T>(device, samples * l * c)?;
            let range = Range { samples, len: l * c, x_stride: all, from: c, y_stride: l * c, to: 0, fill: false };
            tokens::copy_range(device, range, y.view(), selected.view_mut())?;
            assert_eq!(get(device, &selected)?, cpu::narrow(&joined, all, c, l * c));

            let mut dx = room::<D, T>(device, samples * all)?;
            let range = Range { samples, len: l * c, x_stride: l * c, from: 0, y_stride: all, to: c, fill: true };
            tokens::copy_range(device, range, selected.view(), dx.view_mut())?;
            assert_eq!(get(device, &dx)?, cpu::narrow_backward(&x, all, c, l * c));
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn ranges_that_exceed_are_refused<D: Device>(device: &D) -> Result<()> {
    let (x, mut y) = (put::<D, f32>(device, &[0.0; 6])?, room::<D, f32>(device, 6)?);
    let range = Range { samples: 2, len: 2, x_stride: 3, from: 2, y_stride: 3, to: 0, fill: false };
    assert!(tokens::copy_range(device, range, x.view(), y.view_mut()).is_err());
    Ok(())
}
