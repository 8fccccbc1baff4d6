//! Max and average pooling.

use tallow_cuda::op::pool::{Pooling, Taps, TapsMut, Window};
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::pool as cpu;

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(max_and_average, windows_that_do_not_fit_are_refused, taps_of_the_wrong_type_are_refused);

/// Kernel, stride and padding, vertical and horizontal; ceil_mode.
type Case = ([usize; 4], [(usize, usize); 3], bool);

const CASES: &[Case] = &[
    ([1, 1, 1, 1], [(1, 1), (1, 1), (0, 0)], false),
    ([2, 4, 6, 3], [(2, 2), (2, 2), (0, 0)], false),
    ([1, 7, 5, 17], [(2, 2), (2, 2), (0, 0)], false),
    ([2, 9, 11, 8], [(3, 3), (2, 2), (1, 1)], false),
    ([1, 5, 6, 3], [(3, 3), (1, 1), (1, 1)], false),
    ([1, 8, 7, 2], [(3, 3), (2, 2), (0, 0)], true),
    ([1, 6, 9, 2], [(3, 3), (2, 2), (1, 1)], true),
    ([1, 5, 5, 2], [(2, 2), (3, 3), (1, 1)], true),
    ([1, 9, 8, 3], [(2, 2), (3, 3), (0, 0)], false),
    ([1, 7, 9, 24], [(1, 5), (2, 1), (0, 2)], false),
    ([1, 18, 17, 1], [(17, 17), (1, 1), (8, 8)], false),
];

fn windows([kernel, stride, padding]: [(usize, usize); 3]) -> [Window; 2] {
    [
        Window { kernel: kernel.0, stride: stride.0, padding: padding.0 },
        Window { kernel: kernel.1, stride: stride.1, padding: padding.1 },
    ]
}

fn max_and_average<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for &(shape, sizes @ [kernel, stride, padding], ceil_mode) in CASES {
            let len = shape.iter().product();
            // Rounded, so that there are ties; and one NaN.
            let mut x: Vec<f32> = random::<T>(len, 1).iter().map(|x| (8.0 * x).round() / 8.0).collect();
            if len > 20 {
                x[13] = f32::NAN;
            }
            let pooling = Pooling::new(shape, windows(sizes), ceil_mode)?;
            let on_cpu = cpu::Pooling::new(shape, cpu::PoolConfig { kernel, stride, padding, ceil_mode });
            assert_eq!(pooling.output(), on_cpu.output());
            let out = pooling.output().iter().product();
            let dy = random::<T>(out, 2);
            let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
            let (mut y, mut dx) = (room::<D, T>(device, out)?, room::<D, T>(device, len)?);

            let (want, want_taps) = on_cpu.max(&x, true);
            let what = |part: &str| format!("{part} of {shape:?} {sizes:?} {ceil_mode}");
            if kernel.0 * kernel.1 <= 256 {
                let mut taps = room::<D, u8>(device, out)?;
                pooling.max(device, there.view(), y.view_mut(), Some(TapsMut::Small(taps.view_mut())))?;
                pooling.max_backward(device, grad.view(), Taps::Small(taps.view()), dx.view_mut())?;
            } else {
                let mut taps = room::<D, u32>(device, out)?;
                pooling.max(device, there.view(), y.view_mut(), Some(TapsMut::Large(taps.view_mut())))?;
                pooling.max_backward(device, grad.view(), Taps::Large(taps.view()), dx.view_mut())?;
            }
            close(&what("the maximum"), &get(device, &y)?, &want, 0.0);
            close(&what("its gradient"), &get(device, &dx)?, &on_cpu.max_backward(&want_taps, &dy), tolerance::<T>());
            pooling.max(device, there.view(), y.view_mut(), None)?;
            close(&what("the maximum without taps"), &get(device, &y)?, &want, 0.0);

            for include in [false, true] {
                pooling.avg(device, there.view(), y.view_mut(), include)?;
                close(&what("the mean"), &get(device, &y)?, &on_cpu.avg(&x, include), tolerance::<T>());
                pooling.avg_backward(device, grad.view(), dx.view_mut(), include)?;
                close(&what("its gradient"), &get(device, &dx)?, &on_cpu.avg_backward(&dy, include), tolerance::<T>());
            }
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn windows_that_do_not_fit_are_refused<D: Device>(_: &D) -> Result<()> {
    for sizes in [[(3, 3), (1, 1), (0, 0)], [(2, 2), (0, 1), (0, 0)], [(2, 2), (1, 1), (2, 0)]] {
        assert!(Pooling::new([1, 2, 2, 1], windows(sizes), false).is_err());
    }
    Ok(())
}

fn taps_of_the_wrong_type_are_refused<D: Device>(device: &D) -> Result<()> {
    let pooling = Pooling::global([1, 3, 3, 2])?;
    let (x, mut y, mut taps) =
        (put::<D, f32>(device, &[0.0; 18])?, room::<D, f32>(device, 2)?, room::<D, u32>(device, 2)?);
    let error = pooling.max(device, x.view(), y.view_mut(), Some(TapsMut::Large(taps.view_mut()))).unwrap_err();
    assert!(error.to_string().contains("expected taps of bytes"), "{error}");
    Ok(())
}
