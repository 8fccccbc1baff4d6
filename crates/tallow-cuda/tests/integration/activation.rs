//! Activation functions, sums and conversions.

use tallow_cuda::op::activation::{self, Activation};
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::activation as cpu;
use tallow_kernels::cpu::elementwise;

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(functions_and_gradients, sums, conversions, misaligned_arrays);

/// The CPU's function of the same name.
pub fn on_cpu(activation: Activation) -> cpu::Activation {
    match activation {
        Activation::Identity => cpu::Activation::Identity,
        Activation::Relu => cpu::Activation::Relu,
        Activation::Relu6 => cpu::Activation::Relu6,
        Activation::Gelu => cpu::Activation::Gelu,
        Activation::GeluTanh => cpu::Activation::GeluTanh,
        Activation::Silu => cpu::Activation::Silu,
        Activation::Hardswish => cpu::Activation::Hardswish,
        Activation::Hardsigmoid => cpu::Activation::Hardsigmoid,
        Activation::Sigmoid => cpu::Activation::Sigmoid,
    }
}

fn functions_and_gradients<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for len in [1, 7, 8, 1037] {
            let mut x: Vec<f32> = random::<T>(len, 1).into_iter().map(|x| T::from_f32(9.0 * x).to_f32()).collect();
            if len > 7 {
                x[..6].copy_from_slice(&[0.0, 3.0, -3.0, 6.0, f32::NAN, -80.0]);
            }
            let dy = random::<T>(len, 2);
            for curve in Activation::ALL {
                let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
                let (mut y, mut dx) = (room::<D, T>(device, len)?, room::<D, T>(device, len)?);
                activation::forward(device, there.view(), y.view_mut(), curve)?;
                activation::backward(device, there.view(), grad.view(), dx.view_mut(), curve)?;
                let (what, on_cpu) = (format!("{curve:?} of {len}"), on_cpu(curve));
                close(&what, &get(device, &y)?, &cpu::forward(&x, on_cpu), tolerance::<T>());
                close(&what, &get(device, &dx)?, &cpu::backward(&x, &dy, on_cpu), tolerance::<T>());
            }
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn sums<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for len in [1, 24, 301] {
            let (a, b, dy) = (random::<T>(len, 1), random::<T>(len, 2), random::<T>(len, 3));
            let (left, right) = (put::<D, T>(device, &a)?, put::<D, T>(device, &b)?);
            let mut y = room::<D, T>(device, len)?;
            activation::add(device, left.view(), right.view(), y.view_mut(), Activation::Identity)?;
            close("add", &get(device, &y)?, &elementwise::add(&a, &b), tolerance::<T>());
            activation::add(device, left.view(), right.view(), y.view_mut(), Activation::Relu)?;
            let (want, active) = elementwise::add_relu(&a, &b, true);
            close("add_relu", &get(device, &y)?, &want, tolerance::<T>());
            let (grad, mut dx) = (put::<D, T>(device, &dy)?, room::<D, T>(device, len)?);
            activation::relu_mask(device, y.view(), grad.view(), dx.view_mut())?;
            assert_eq!(get(device, &dx)?, elementwise::mask(&dy, &active.unwrap()));
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn conversions<D: Device>(device: &D) -> Result<()> {
    for len in [1, 8, 517] {
        let mut x = random::<f32>(len, 1);
        if len > 8 {
            // Two halves, of which one is rounded down and one up.
            let halves = [0x3f80_8000, 0x3f81_8000].map(f32::from_bits);
            x[..2].copy_from_slice(&halves);
            x[2..7].copy_from_slice(&[-0.0, f32::NAN, f32::INFINITY, 3.4e38, 1e-40]);
        }
        let there = put::<D, f32>(device, &x)?;
        let (mut low, mut back) = (room::<D, Bf16>(device, len)?, room::<D, f32>(device, len)?);
        activation::to_bf16(device, there.view(), low.view_mut())?;
        activation::from_bf16(device, low.view(), back.view_mut())?;
        let want: Vec<f32> = x.iter().map(|x| Bf16::from_f32(*x).to_f32()).collect();
        assert_eq!(bits(&get(device, &back)?), bits(&want));
    }
    Ok(())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A view that begins within 16 bytes takes one value at a time, with the same result.
fn misaligned_arrays<D: Device>(device: &D) -> Result<()> {
    let x = random::<f32>(101, 1);
    let there = put::<D, f32>(device, &x)?;
    let mut y = room::<D, f32>(device, 100)?;
    // SAFETY: 100 values follow the first.
    let rest = unsafe { tallow_cuda::View::<f32>::from_raw(there.view().address() + 4, 100) };
    activation::forward(device, rest, y.view_mut(), Activation::Silu)?;
    close("silu", &get(device, &y)?, &cpu::forward(&x[1..], cpu::Activation::Silu), 2e-5);
    Ok(())
}
