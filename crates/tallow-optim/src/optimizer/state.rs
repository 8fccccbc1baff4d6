//! The state of an optimiser: a few vectors per parameter, and the number of steps.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::Param;
use crate::{Error, Result};

/// Up to `N` vectors per parameter, initially zero, with PyTorch's names.
#[derive(Debug)]
pub(super) struct State<const N: usize> {
    /// Steps done.
    pub steps: u64,
    /// The vectors of each parameter; unused ones are empty.
    pub vectors: Vec<[Vec<f32>; N]>,
    names: [&'static str; N],
}

impl<const N: usize> State<N> {
    /// Zeros for `params`. Each kind of vector has a name and may be unused.
    pub fn new(params: &[Param], kinds: [(&'static str, bool); N]) -> Self {
        let vectors = |param: &Param| kinds.map(|(_, used)| vec![0.0; if used { param.var.elem_count() } else { 0 }]);
        Self { steps: 0, vectors: params.iter().map(vectors).collect(), names: kinds.map(|(name, _)| name) }
    }

    /// The vectors in use, named `kind.parameter`, and `step`.
    pub fn save(&self, params: &[Param]) -> Result<Vec<(String, Tensor)>> {
        let mut saved = vec![("step".to_owned(), Tensor::new(self.steps as i64, &Device::Cpu)?)];
        for (param, vectors) in params.iter().zip(&self.vectors) {
            for (kind, values) in self.names.iter().zip(vectors) {
                if !values.is_empty() {
                    let tensor = Tensor::from_vec(values.clone(), param.var.dims(), &Device::Cpu)?;
                    saved.push((format!("{kind}.{}", param.name), tensor));
                }
            }
        }
        Ok(saved)
    }

    /// Restores what [`save`](Self::save) returned.
    pub fn load(&mut self, params: &[Param], saved: &HashMap<String, Tensor>) -> Result<()> {
        let find = |name: &str, dims: &[usize]| match saved.get(name) {
            Some(tensor) if tensor.dims() == dims => Ok(tensor),
            found => Err(Error::state(name, dims, found)),
        };
        let steps = find("step", &[])?.to_dtype(DType::I64)?.to_scalar::<i64>()?;
        for (param, vectors) in params.iter().zip(&mut self.vectors) {
            for (kind, values) in self.names.iter().zip(vectors) {
                if !values.is_empty() {
                    let tensor = find(&format!("{kind}.{}", param.name), param.var.dims())?;
                    *values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                }
            }
        }
        self.steps = steps.max(0) as u64;
        Ok(())
    }
}
