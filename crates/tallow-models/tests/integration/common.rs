//! Parameters, running statistics and images by a formula that PyTorch's side computes alike:
//! see `fixtures/scripts/models.py`.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use tallow_models::ModelConfig;
use tallow_nn::ParamStore;

/// One file of `fixtures/models`.
#[derive(serde::Deserialize)]
pub struct Recorded {
    pub model: String,
    pub config: ModelConfig,
    pub parameters: usize,
    pub state_dict: Vec<(String, Vec<usize>)>,
    pub logits: Vec<Vec<f32>>,
    /// Of each parameter's gradient, in the order of the state dict.
    pub grad_norms: Option<Vec<f64>>,
}

/// Every recorded model, by file name.
pub fn recorded() -> Vec<(String, Recorded)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file: &PathBuf| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    files.iter().map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), read(file))).collect()
}

fn hash(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Elements of tensor `t`, in [-1, 1).
fn uniform(t: u32, len: usize) -> impl Iterator<Item = f64> {
    let key = hash(t);
    (0..len as u32).map(move |j| f64::from(hash(j.wrapping_add(key))) / f64::from(1u32 << 31) - 1.0)
}

/// Gives every parameter and buffer its value by the formula.
pub fn fill(store: &ParamStore) {
    for (t, (name, tensor)) in store.state_dict().into_iter().enumerate() {
        let dims = tensor.dims();
        if name.ends_with("attention_bias_idxs") {
            continue;
        }
        let fan_in: usize = dims.iter().skip(1).product();
        let last_of_branch = name.ends_with("proj.ln.bn.weight") || name.ends_with("mlp.ln2.bn.weight");
        let value = |u: f64| match dims.len() {
            1 if name.ends_with("running_var") => 1.0 + u / 2.0,
            1 if last_of_branch => (1.0 + u / 4.0) / 8.0,
            1 if name.ends_with("weight") => 1.0 + u / 4.0,
            1 => u / 10.0,
            _ => u * (6.0 / fan_in as f64).sqrt(),
        };
        let values: Vec<f32> = uniform(t as u32, tensor.elem_count()).map(|u| value(u) as f32).collect();
        store.set(&name, &Tensor::from_vec(values, dims, &Device::Cpu).unwrap()).unwrap();
    }
}

/// The images of the formula.
pub fn images(shape: (usize, usize, usize, usize)) -> Tensor {
    let (n, c, h, w) = shape;
    let values: Vec<f32> = uniform(1_000_000, n * c * h * w).map(|u| u as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The targets of the formula's loss, `Σ logits · targets`.
pub fn targets(shape: (usize, usize)) -> Tensor {
    let values: Vec<f32> = uniform(1_000_001, shape.0 * shape.1).map(|u| u as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The largest difference, relative to the largest value expected.
pub fn relative_difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let (found, expected) = (found.concat(), expected.concat());
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    found.iter().zip(&expected).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / scale
}
