//! The recorded values of PyTorch (fixtures/nn), forward and backward.

use safetensors::SafeTensors;
use tallow_cuda::op::activation::{self, Activation};
use tallow_cuda::op::batch_norm::{self, Gradients, Inputs, Running};
use tallow_cuda::op::columns::{self, Groups};
use tallow_cuda::op::depthwise::{Depthwise, Epilogue};
use tallow_cuda::op::loss::{self, Results, Targets};
use tallow_cuda::op::pool::{Pooling, Taps, TapsMut, Window};
use tallow_cuda::op::{layer_norm, softmax};
use tallow_cuda::{Device, Result};

use crate::backend::on_each_device;
use crate::support::{close, get, put, room};

on_each_device!(
    activations,
    batch_norms,
    layer_norms,
    softmaxes,
    cross_entropies,
    max_pools,
    avg_pools,
    global_pools,
    depthwise
);

/// A recorded case: its tensors by name, images channels-last.
struct Case {
    name: String,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Case {
    fn tensor(&self, name: &str) -> (&[usize], &[f32]) {
        let found = self.tensors.iter().find(|(own, ..)| own == name);
        let (_, shape, values) = found.unwrap_or_else(|| panic!("{} has no {name}", self.name));
        (shape, values)
    }

    fn values(&self, name: &str) -> &[f32] {
        self.tensor(name).1
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.iter().any(|(own, ..)| own == name)
    }

    fn config(&self) -> Vec<usize> {
        self.values("config").iter().map(|value| *value as usize).collect()
    }

    /// The shape of images, as they lie in memory.
    fn images(&self, name: &str) -> [usize; 4] {
        let &[n, c, h, w] = self.tensor(name).0 else { panic!("{name} of {} is no batch of images", self.name) };
        [n, h, w, c]
    }
}

/// The cases of a file. `images` names the tensors that become channels-last.
fn cases(file: &str, images: &[&str]) -> Vec<Case> {
    let path = format!("{}/../../fixtures/nn/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut names = file.names();
    names.sort();
    for full in names {
        let (case, name) = full.split_once('.').unwrap();
        let view = file.tensor(full).unwrap();
        let shape = view.shape().to_vec();
        let mut values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if let (true, &[n, c, h, w]) = (images.contains(&name), &shape[..]) {
            let plain = values.clone();
            for (at, value) in values.iter_mut().enumerate() {
                let (image, pixel, channel) = (at / (h * w * c), at / c % (h * w), at % c);
                *value = plain[(image * c + channel) * h * w + pixel];
            }
            assert_eq!(n * c * h * w, plain.len());
        }
        if cases.last().is_none_or(|last| last.name != case) {
            cases.push(Case { name: case.to_owned(), tensors: Vec::new() });
        }
        cases.last_mut().unwrap().tensors.push((name.to_owned(), shape, values));
    }
    assert!(!cases.is_empty());
    cases
}

const IMAGES: &[&str] = &["x", "dx", "y", "dy"];

fn activations<D: Device>(device: &D) -> Result<()> {
    for case in cases("activation", &[]) {
        let curve = Activation::ALL[case.config()[0]];
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let len = case.values("x").len();
        let (mut y, mut dx) = (room::<D, f32>(device, len)?, room::<D, f32>(device, len)?);
        activation::forward(device, x.view(), y.view_mut(), curve)?;
        activation::backward(device, x.view(), dy.view(), dx.view_mut(), curve)?;
        close(&case.name, &get(device, &y)?, case.values("y"), 2e-6);
        close(&case.name, &get(device, &dx)?, case.values("dx"), 2e-6);
    }
    Ok(())
}

fn batch_norms<D: Device>(device: &D) -> Result<()> {
    for case in cases("batch_norm", IMAGES) {
        let [curve, trains] = case.config()[..] else { panic!("two integers") };
        let curve = Activation::ALL[curve];
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let (gamma, beta) =
            (put::<D, f32>(device, case.values("weight"))?, put::<D, f32>(device, case.values("bias"))?);
        let c = case.values("weight").len();
        let (len, eps) = (case.values("x").len(), 1e-5);
        let statistics = if trains == 1 {
            let (mut mean, mut var) = (put::<D, f32>(device, &vec![0.0; c])?, put::<D, f32>(device, &vec![1.0; c])?);
            let running = Running { mean: mean.view_mut(), var: var.view_mut(), momentum: 0.1 };
            let statistics = batch_norm::of_batch(device, x.view(), gamma.view(), eps, Some(running))?;
            close(&case.name, &get(device, &mean)?, case.values("running_mean"), 1e-6);
            close(&case.name, &get(device, &var)?, case.values("running_var"), 1e-5);
            statistics
        } else {
            let (mean, var) = (
                put::<D, f32>(device, case.values("running_mean"))?,
                put::<D, f32>(device, case.values("running_var"))?,
            );
            batch_norm::given(device, mean.view(), var.view(), gamma.view(), eps)?
        };
        let (mut y, mut dx) = (room::<D, f32>(device, len)?, room::<D, f32>(device, len)?);
        let (mut dgamma, mut dbeta) = (room::<D, f32>(device, c)?, room::<D, f32>(device, c)?);
        statistics.apply(device, x.view(), beta.view(), None, y.view_mut(), curve)?;
        let inputs = Inputs { x: x.view(), beta: beta.view(), residual: None, dy: dy.view(), activation: curve };
        let (dx_to, dgamma_to) = (Some(dx.view_mut()), dgamma.view_mut());
        let gradients = Gradients { x: dx_to, residual: None, gamma: dgamma_to, beta: dbeta.view_mut() };
        statistics.backward(device, inputs, gradients)?;
        // As the CPU's test: 100 ± 0.5 leaves PyTorch itself few digits.
        let tolerance = if case.name == "large_mean" { 1e-3 } else { 2e-5 };
        for (found, name) in [(&y, "y"), (&dx, "dx"), (&dgamma, "dweight"), (&dbeta, "dbias")] {
            close(&format!("{name} of {}", case.name), &get(device, found)?, case.values(name), tolerance);
        }
    }
    Ok(())
}

fn layer_norms<D: Device>(device: &D) -> Result<()> {
    for case in cases("layer_norm", &[]) {
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let (gamma, beta) =
            (put::<D, f32>(device, case.values("weight"))?, put::<D, f32>(device, case.values("bias"))?);
        let (len, d) = (case.values("x").len(), case.values("weight").len());
        let (mut y, mut stats, mut dx) =
            (room::<D, f32>(device, len)?, room::<D, f32>(device, 2 * len / d)?, room::<D, f32>(device, len)?);
        let (mut dgamma, mut dbeta) = (room::<D, f32>(device, d)?, room::<D, f32>(device, d)?);
        let pair = (gamma.view(), beta.view());
        layer_norm::forward(device, x.view(), pair, 1e-6, y.view_mut(), stats.view_mut())?;
        let (inputs, sums) = ((x.view(), dy.view()), (dgamma.view_mut(), dbeta.view_mut()));
        layer_norm::backward(device, inputs, gamma.view(), stats.view(), Some(dx.view_mut()), sums)?;
        for (found, name) in [(&y, "y"), (&dx, "dx"), (&dgamma, "dweight"), (&dbeta, "dbias")] {
            close(&format!("{name} of {}", case.name), &get(device, found)?, case.values(name), 5e-5);
        }
    }
    Ok(())
}

fn softmaxes<D: Device>(device: &D) -> Result<()> {
    for case in cases("softmax", &[]) {
        let (shape, x) = case.tensor("x");
        let k = *shape.last().unwrap();
        let (there, dy) = (put::<D, f32>(device, x)?, put::<D, f32>(device, case.values("dy"))?);
        let (mut y, mut dx) = (room::<D, f32>(device, x.len())?, room::<D, f32>(device, x.len())?);
        softmax::forward(device, there.view(), k, y.view_mut())?;
        softmax::backward(device, y.view(), dy.view(), k, dx.view_mut())?;
        close(&case.name, &get(device, &y)?, case.values("y"), 2e-6);
        close(&case.name, &get(device, &dx)?, case.values("dx"), 2e-6);
    }
    Ok(())
}

fn cross_entropies<D: Device>(device: &D) -> Result<()> {
    for case in cases("cross_entropy", &[]) {
        let (shape, x) = case.tensor("x");
        let &[n, k] = shape else { panic!("[n, k]") };
        let (z, soft) = (put::<D, f32>(device, x)?, put::<D, f32>(device, case.values("targets"))?);
        let (mut losses, mut dz, mut dt) =
            (room::<D, f64>(device, n)?, room::<D, f32>(device, n * k)?, room::<D, f32>(device, n * k)?);
        let scale = case.values("dy")[0] / n as f32;
        let targets = Targets { soft: Some(soft.view()), ..Targets::default() };
        let results = Results { losses: losses.view_mut(), correct: None, gradient: Some(dz.view_mut()) };
        loss::cross_entropy(device, z.view(), k, targets, scale, results)?;
        loss::target_grad(device, z.view(), k, scale, dt.view_mut())?;
        let loss = losses.download(device)?.iter().sum::<f64>() / n as f64;
        close(&case.name, &[loss as f32], case.values("y"), 2e-6);
        close(&case.name, &get(device, &dz)?, case.values("dx"), 2e-6);
        close(&case.name, &get(device, &dt)?, case.values("dtargets"), 5e-6);
    }
    Ok(())
}

/// The pooling of a case, and whether the padding counts.
fn pooling(case: &Case) -> Result<(Pooling, bool)> {
    let config = case.config();
    let window = |axis: usize| Window { kernel: config[axis], stride: config[2 + axis], padding: config[4 + axis] };
    let pooling = Pooling::new(case.images("x"), [window(0), window(1)], config[6] == 1)?;
    Ok((pooling, config.get(7) == Some(&1)))
}

fn max_pools<D: Device>(device: &D) -> Result<()> {
    for case in cases("max_pool2d", IMAGES) {
        let (pooling, _) = pooling(&case)?;
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let out = case.values("y").len();
        let (mut y, mut dx) = (room::<D, f32>(device, out)?, room::<D, f32>(device, case.values("x").len())?);
        let (mut small, mut large) = (room::<D, u8>(device, out)?, room::<D, u32>(device, out)?);
        let config = case.config();
        if config[0] * config[1] <= 256 {
            pooling.max(device, x.view(), y.view_mut(), Some(TapsMut::Small(small.view_mut())))?;
            pooling.max_backward(device, dy.view(), Taps::Small(small.view()), dx.view_mut())?;
        } else {
            pooling.max(device, x.view(), y.view_mut(), Some(TapsMut::Large(large.view_mut())))?;
            pooling.max_backward(device, dy.view(), Taps::Large(large.view()), dx.view_mut())?;
        }
        close(&case.name, &get(device, &y)?, case.values("y"), 0.0);
        close(&case.name, &get(device, &dx)?, case.values("dx"), 2e-6);
    }
    Ok(())
}

fn avg_pools<D: Device>(device: &D) -> Result<()> {
    for case in cases("avg_pool2d", IMAGES) {
        let (pooling, include) = pooling(&case)?;
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let mut y = room::<D, f32>(device, case.values("y").len())?;
        let mut dx = room::<D, f32>(device, case.values("x").len())?;
        pooling.avg(device, x.view(), y.view_mut(), include)?;
        pooling.avg_backward(device, dy.view(), dx.view_mut(), include)?;
        close(&case.name, &get(device, &y)?, case.values("y"), 2e-6);
        close(&case.name, &get(device, &dx)?, case.values("dx"), 2e-6);
    }
    Ok(())
}

fn global_pools<D: Device>(device: &D) -> Result<()> {
    for case in cases("global_pool", &["x", "dx"]) {
        let shape @ [n, h, w, c] = case.images("x");
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let (mut y, mut dx) = (room::<D, f32>(device, n * c)?, room::<D, f32>(device, n * h * w * c)?);
        if case.config()[0] == 0 {
            let images = Groups { count: n, rows: h * w, channels: c };
            columns::global_avg(device, images, x.view(), y.view_mut())?;
            columns::global_avg_backward(device, images, dy.view(), dx.view_mut())?;
        } else {
            let (pooling, mut taps) = (Pooling::global(shape)?, room::<D, u8>(device, n * c)?);
            pooling.max(device, x.view(), y.view_mut(), Some(TapsMut::Small(taps.view_mut())))?;
            pooling.max_backward(device, dy.view(), Taps::Small(taps.view()), dx.view_mut())?;
        }
        close(&case.name, &get(device, &y)?, case.values("y"), 2e-6);
        close(&case.name, &get(device, &dx)?, case.values("dx"), 2e-6);
    }
    Ok(())
}

fn depthwise<D: Device>(device: &D) -> Result<()> {
    let mut found = 0;
    for case in cases("conv2d", IMAGES) {
        let config = case.config();
        let (input, weight) = (case.images("x"), case.tensor("weight").0);
        if config[6] != input[3] || weight[0] != input[3] {
            continue;
        }
        found += 1;
        let pair = |at: usize| (config[at], config[at + 1]);
        let kernel = (weight[2], weight[3]);
        let op = Depthwise { input, kernel, stride: pair(0), padding: pair(2), dilation: pair(4) };
        let (x, dy) = (put::<D, f32>(device, case.values("x"))?, put::<D, f32>(device, case.values("dy"))?);
        let filters = put::<D, f32>(device, case.values("weight"))?;
        let shift = if case.has("bias") { Some(put::<D, f32>(device, case.values("bias"))?) } else { None };
        let mut y = room::<D, f32>(device, case.values("y").len())?;
        let mut dx = room::<D, f32>(device, case.values("x").len())?;
        let mut dw = room::<D, f32>(device, case.values("weight").len())?;
        let epilogue = Epilogue { shift: shift.as_ref().map(|shift| shift.view()), ..Epilogue::default() };
        op.forward(device, x.view(), filters.view(), epilogue, y.view_mut())?;
        op.input_grad(device, dy.view(), filters.view(), dx.view_mut())?;
        op.weight_grad(device, x.view(), dy.view(), dw.view_mut())?;
        for (array, name) in [(&y, "y"), (&dx, "dx"), (&dw, "dweight")] {
            close(&format!("{name} of {}", case.name), &get(device, array)?, case.values(name), 1e-5);
        }
    }
    assert_eq!(found, 2, "depthwise cases");
    Ok(())
}
