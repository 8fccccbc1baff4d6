//! Shared by the tests: recorded cases, comparisons, finite differences, thread counts.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use rand::Rng as _;
use tallow_nn::rng::keyed;
use tallow_nn::{Gradients, Result, Tape};

/// One recorded case: its tensors by name.
pub struct Case {
    pub name: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    pub fn get(&self, name: &str) -> Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}.{name} is not recorded", self.name)).clone()
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub fn config(&self) -> Vec<usize> {
        self.get("config").to_vec1::<f32>().unwrap().into_iter().map(|v| v as usize).collect()
    }

    pub fn var(&self, name: &str) -> Tensor {
        variable(&self.get(name))
    }
}

/// All cases of `fixtures/nn/<op>.safetensors`.
pub fn recorded(op: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/nn/{op}.safetensors"));
    let mut cases = BTreeMap::<String, BTreeMap<String, Tensor>>::new();
    for (key, tensor) in candle_core::safetensors::load(path, &Device::Cpu).unwrap() {
        let (case, name) = key.split_once('.').unwrap();
        cases.entry(case.to_string()).or_default().insert(name.to_string(), tensor);
    }
    cases.into_iter().map(|(name, tensors)| Case { name, tensors }).collect()
}

/// Runs `op` on the recorded `inputs` and compares its value and each input's gradient.
pub fn check_recorded(case: &Case, inputs: &[&str], tolerance: f32, op: impl FnOnce(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Tensor> = inputs.iter().map(|name| case.var(name)).collect();
    let tape = Tape::start();
    let y = op(&vars).unwrap();
    assert_close(&format!("{}.y", case.name), &y, &case.get("y"), tolerance);
    let grads = tape.backward(&weighted(&y, &case.get("dy"))).unwrap();
    for (name, var) in inputs.iter().zip(&vars) {
        let label = format!("{}.d{name}", case.name);
        let grad = grads.get(var).unwrap_or_else(|| panic!("{label}: no gradient"));
        assert_close(&label, grad, &case.get(&format!("d{name}")), tolerance);
    }
}

/// `Σ y · weights`: a loss whose gradient with respect to `y` is `weights`.
pub fn weighted(y: &Tensor, weights: &Tensor) -> Tensor {
    (y * weights).unwrap().sum_all().unwrap()
}

pub fn variable(value: &Tensor) -> Tensor {
    Var::from_tensor(&value.contiguous().unwrap()).unwrap().into_inner()
}

pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares values, the tolerance in units of the largest expected one (at least 1).
pub fn assert_close(label: &str, got: &Tensor, want: &Tensor, tolerance: f32) {
    assert_eq!(got.dims(), want.dims(), "{label}: shape");
    let (got, want) = (flat(got), flat(want));
    let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (got - want).abs() / scale;
        assert!(error <= tolerance, "{label}[{i}]: {got}, expected {want} (error {error:e} of {scale})");
    }
}

/// Uniform values in [-1, 1), the same for the same `seed`.
pub fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut rng = keyed(seed, 0, 0, 1);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The gradients of `Σ weights · op(vars)` for fixed random weights.
pub fn gradients(vars: &[Tensor], op: impl FnOnce(&[Tensor]) -> Result<Tensor>) -> (Tensor, Gradients) {
    let tape = Tape::start();
    let y = op(vars).unwrap();
    let grads = tape.backward(&weighted(&y, &random(99, y.dims()))).unwrap();
    (y, grads)
}

/// Compares each input's gradient with central differences of the loss, summed in f64.
pub fn check_gradient(label: &str, inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) {
    const STEP: f32 = 1.0 / 128.0;
    let vars: Vec<Tensor> = inputs.iter().map(variable).collect();
    let (y, grads) = gradients(&vars, &op);
    let weights = flat(&random(99, y.dims()));
    let loss = |inputs: &[Tensor]| -> f64 {
        let y = flat(&op(inputs).unwrap());
        y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    for (n, var) in vars.iter().enumerate() {
        let grad = flat(grads.get(var).unwrap_or_else(|| panic!("{label}: no gradient for input {n}")));
        let scale = grad.iter().fold(1f32, |m, g| m.max(g.abs()));
        let values = flat(&inputs[n]);
        for (i, grad) in grad.iter().enumerate() {
            let at = |value: f32| {
                let mut moved = values.clone();
                moved[i] = value;
                let mut inputs = inputs.to_vec();
                inputs[n] = Tensor::from_vec(moved, inputs[n].dims(), &Device::Cpu).unwrap();
                loss(&inputs)
            };
            let (up, down) = (values[i] + STEP, values[i] - STEP);
            let slope = ((at(up) - at(down)) / f64::from(up - down)) as f32;
            let error = (grad - slope).abs() / scale;
            assert!(error < 1e-3, "{label}: d input {n}[{i}] = {grad}, differences say {slope}");
        }
    }
}

/// Runs `op` forward and backward in pools of 1, 2 and 4 threads: every bit must be the same.
pub fn check_threads(label: &str, inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync) {
    let run = |threads: usize| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let vars: Vec<Tensor> = inputs.iter().map(variable).collect();
            let (y, grads) = gradients(&vars, &op);
            let results = std::iter::once(&y).chain(vars.iter().map(|var| grads.get(var).unwrap()));
            results.map(|t| flat(t).into_iter().map(f32::to_bits).collect()).collect()
        })
    };
    let one = run(1);
    for threads in [2, 4] {
        assert!(run(threads) == one, "{label}: another result on {threads} threads");
    }
}
