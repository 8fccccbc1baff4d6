//! Depthwise convolution and its gradients.

use tallow_cuda::op::activation::Activation;
use tallow_cuda::op::depthwise::{Depthwise, Epilogue};
use tallow_cuda::{Bf16, Device, Result, Storage};
use tallow_kernels::cpu::Precision;
use tallow_kernels::cpu::conv2d::{self, ConvConfig, Convolution, Weights};

use super::activation::on_cpu;
use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room, tolerance};

on_each_device!(forward_and_gradients, sizes_that_do_not_fit_are_refused);

type Pair = (usize, usize);

/// Images; kernel, stride, padding, dilation.
const CASES: &[([usize; 4], [Pair; 4])] = &[
    ([1, 1, 1, 1], [(1, 1), (1, 1), (0, 0), (1, 1)]),
    ([2, 5, 7, 19], [(3, 3), (1, 1), (1, 1), (1, 1)]),
    ([1, 9, 8, 40], [(3, 3), (2, 2), (1, 1), (1, 1)]),
    ([2, 7, 8, 6], [(5, 5), (2, 2), (2, 2), (1, 1)]),
    ([1, 11, 9, 33], [(7, 7), (1, 1), (3, 3), (1, 1)]),
    ([1, 9, 11, 5], [(3, 3), (2, 1), (2, 2), (2, 2)]),
    ([1, 12, 13, 4], [(11, 11), (1, 2), (5, 5), (1, 1)]),
    ([3, 6, 4, 8], [(1, 4), (3, 1), (0, 2), (1, 1)]),
];

fn forward_and_gradients<D: Device>(device: &D) -> Result<()> {
    fn of<D: Device, T: Storage>(device: &D) -> Result<()> {
        for &(input @ [n, h, w, c], [kernel, stride, padding, dilation]) in CASES {
            let op = Depthwise { input, kernel, stride, padding, dilation };
            let config = ConvConfig { stride, padding, dilation, groups: c };
            let weight = [c, 1, kernel.0, kernel.1];
            let reference = Convolution::new([n, c, h, w], weight, config, Precision::F32).unwrap();
            let output = op.output()?;
            assert_eq!(<[usize; 4]>::from(reference.output_shape()), output);
            let (len, out) = (input.iter().product::<usize>(), output.iter().product::<usize>());
            let (x, dy) = (random::<T>(len, 1), random::<T>(out, 2));
            let filters = random::<f32>(weight.iter().product(), 3);
            let (scale, shift) = (random::<f32>(c, 4), random::<f32>(c, 5));
            let (there, grad) = (put::<D, T>(device, &x)?, put::<D, T>(device, &dy)?);
            let (by, factors, added) =
                (put::<D, f32>(device, &filters)?, put::<D, f32>(device, &scale)?, put::<D, f32>(device, &shift)?);
            let mut y = room::<D, T>(device, out)?;
            let what = |part: &str| format!("{part} of {input:?}, {kernel:?}, {stride:?}, {padding:?}, {dilation:?}");

            op.forward(device, there.view(), by.view(), Epilogue::default(), y.view_mut())?;
            let weights = Weights::Filters { values: &filters, scale: None };
            let want = reference.forward(&x, weights, conv2d::Epilogue::default());
            close(&what("y"), &get(device, &y)?, &want, tolerance::<T>());

            let activation = Activation::Hardswish;
            let epilogue = Epilogue { scale: Some(factors.view()), shift: Some(added.view()), activation };
            op.forward(device, there.view(), by.view(), epilogue, y.view_mut())?;
            let weights = Weights::Filters { values: &filters, scale: Some(&scale) };
            let epilogue = conv2d::Epilogue { shift: Some(&shift), activation: on_cpu(activation) };
            close(&what("folded"), &get(device, &y)?, &reference.forward(&x, weights, epilogue), tolerance::<T>());

            let (mut dx, mut dw) = (room::<D, T>(device, len)?, room::<D, f32>(device, filters.len())?);
            op.input_grad(device, grad.view(), by.view(), dx.view_mut())?;
            close(&what("dx"), &get(device, &dx)?, &reference.input_grad(&dy, &filters), tolerance::<T>());
            op.weight_grad(device, there.view(), grad.view(), dw.view_mut())?;
            close(&what("dw"), &get(device, &dw)?, &reference.weight_grad(&x, &dy), 5e-5);
        }
        Ok(())
    }
    of::<D, f32>(device)?;
    of::<D, Bf16>(device)
}

fn sizes_that_do_not_fit_are_refused<D: Device>(_: &D) -> Result<()> {
    let op = Depthwise { input: [1, 2, 2, 3], kernel: (3, 3), stride: (1, 1), padding: (0, 0), dilation: (1, 1) };
    assert!(op.output().unwrap_err().to_string().contains("at least as large as the filter"));
    let op = Depthwise { input: [1, 20, 20, 3], kernel: (13, 13), ..op };
    assert!(op.output().unwrap_err().to_string().contains("1 to 121 taps"));
    Ok(())
}
